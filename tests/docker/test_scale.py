"""docker/compose.scale.yml: three servers, one of them stopped and one killed under 200 downloads,
behind HAProxy and with the client's own list of servers."""

import os
import re
import signal
import threading

import downloads
import engine
import pytest
from engine import docker, inspect, wait_for_health
from support import deadline, programs

SERVERS = ["server1", "server2", "server3"]
FILES = ["docker/compose.scale.yml", "tests/docker/compose.target.yml",
         "tests/docker/compose.scale-target.yml"]
RATE = 100_000  # bytes a second; a download of 1 MiB then takes 10 s


def started(project, images, files, **settings):
    """The project, up, with rules that allow the target."""
    up = project("1", files, LINK_PORT=programs.free_port(), BALANCED=engine.free_subnet(), **settings)
    up("up", "-d", timeout=240)
    up.change_server(images["server"], {"destinations": {"allow": [up.subnet("targets")]}}, SERVERS)
    up.servers = {name: up.container(name) for name in SERVERS}
    return up


@pytest.fixture
def balanced(project, images):
    image = engine.build("muxsocks-balancer:test", engine.ROOT / "docker/haproxy",
                         engine.ROOT / "docker/haproxy/Dockerfile", "--build-arg",
                         f"BASE={engine.make_base('trixie')}")
    up = started(project, images, FILES, BALANCER_IMAGE=image)
    yield up
    up.remove()


class Client:
    """One more client, with an address of its own. It is asked there, and not through a published
    port: the engine's own proxy for these makes clean ends of resets."""

    def __init__(self, project, image):
        network = f"{project.name}_link"
        self.container = docker("run", "-d", "--read-only", "--cap-drop=ALL", "--network", network,
                                "-v", f"{project.config_volume()}:/etc/muxsocks:ro", image)
        self.address = engine.address(self.container, network)
        self.proxy = (self.address, 1080)

    def server(self, project):
        """The name of the server that it is on, by the address that the server was told."""
        up = [name for name, container in project.servers.items()
              if re.search(rf"link from me@{re.escape(self.address)} is up", engine.logs(container))]
        return up[-1] if up else None

    def remove(self):
        docker("rm", "-f", self.container)


@pytest.fixture
def clients(balanced, images):
    """Three clients, each on another server."""
    made = []
    try:
        for _ in SERVERS:
            one = Client(balanced, images["client"])
            made.append(one)
            deadline.wait_until(lambda: one.server(balanced), 15,
                                lambda: f"a link:\n{engine.logs(one.container)}\n"
                                        f"{engine.logs(balanced.container('balancer'))}")
        yield {one.server(balanced): one for one in made}
    finally:
        for each in made:
            each.remove()


def kill(container):
    os.kill(int(inspect(container, "{{.State.Pid}}")), signal.SIGKILL)


def test_behind_haproxy(balanced, clients, files):
    assert sorted(clients) == SERVERS, "HAProxy spreads clients that it does not know"
    stopped, killed, left = (clients[name] for name in SERVERS)
    counts = {stopped: 67, killed: 67, left: 66}
    running = {client: downloads.Many(count, client.proxy, files.middle, RATE)
               for client, count in counts.items()}
    for client, count in counts.items():
        deadline.wait_until(lambda: f" {count} streams" in engine.statistics(client.container), 15,
                            "the downloads to run")
    docker_stop = threading.Thread(target=docker, args=("stop", balanced.servers["server1"]))
    docker_stop.start()
    kill(balanced.servers["server2"])
    # Both have running downloads, and may ask for more at once.
    after_kill = downloads.works(killed.proxy, files.page, 10)
    in_drain = downloads.works(stopped.proxy, files.page, 10)
    assert running[stopped].running() > 0, "it drains still"
    for each in running.values():
        each.wait()
    docker_stop.join()
    results = {name: {what: running[client].count(what) for what in ("complete", "failed", "short")}
               for name, client in (("stopped", stopped), ("killed", killed), ("left", left))}
    print(f"downloads: {results}; first new request after the kill: {after_kill:.1f} s, in the "
          f"drain: {in_drain:.1f} s")
    assert results["stopped"] == {"complete": 67, "failed": 0, "short": 0}
    assert results["left"] == {"complete": 66, "failed": 0, "short": 0}
    # A session lives in its server's memory only: what was under way there ends visibly.
    assert results["killed"] == {"complete": 0, "failed": 67, "short": 0}
    assert int(inspect(balanced.servers["server1"], "{{.State.ExitCode}}")) == 0
    assert inspect(balanced.servers["server2"], "{{.State.Running}}") == "true", "restarted by policy"
    for client in clients.values():
        wait_for_health(client.container, "healthy", 20)


def test_by_the_clients_own_list(project, images, files):
    up = started(project, images, [*FILES[:1], "docker/compose.scale-list.yml", *FILES[1:]])
    client = up.container("client")
    proxy = (engine.address(client, f"{up.name}_link"), 1080)
    downloads.works(proxy, files.page, 15)
    running = downloads.Many(200, proxy, files.middle, RATE)
    deadline.wait_until(lambda: _streams(client) == 200, 20, "the downloads to run")
    by_server = _by_server(client)
    stopped, killed = sorted(by_server, key=by_server.get, reverse=True)[:2]
    docker_stop = threading.Thread(target=docker, args=("stop", up.servers[stopped]))
    docker_stop.start()
    kill(up.servers[killed])
    time_to_work = downloads.works(proxy, files.page, 10)
    running.wait()
    docker_stop.join()
    failed = running.count("failed")
    print(f"downloads by server: {by_server}; {stopped} stopped, {killed} killed; complete: "
          f"{running.count('complete')}, failed: {failed}; a new request works {time_to_work:.1f} s "
          "after that")
    assert running.count("short") == 0
    assert failed == by_server[killed], running.found
    assert running.count("complete") == 200 - failed


def _by_server(client):
    """Streams of the client on each server, by its latest statistics."""
    lines = re.findall(r"link to (server\d):\d+: \w+, (\d+) streams", engine.logs(client))
    latest = {}
    for name, streams in lines:
        latest[name] = int(streams)
    return {name: latest.get(name, 0) for name in SERVERS}


def _streams(client):
    engine.statistics(client)
    return sum(_by_server(client).values())
