"""docker/compose.scale.yml behind a balancer that leads every connection to another server: sessions
over several links, with `join_at` and without."""

import contextlib
import ipaddress
import json
import re
import shutil
import time

import downloads
import engine
import pytest
from engine import docker
from far import Far
from support import programs, web
from support.deadline import wait_until

SERVERS = ["server1", "server2", "server3"]
FILES = ["docker/compose.scale.yml", "tests/docker/compose.target.yml",
         "tests/docker/compose.scale-target.yml", "tests/docker/compose.spread.yml"]
WAY = 0.015  # seconds: further links help above a round trip of 5 ms
FAST, SLOW = 2_000_000, 100_000  # bytes a second; downloads then take 10 s each
ANOTHER = r"another link to .* is up, 2 in all"


def spreading_balancer(folder):
    """The balancer's image, its clients sent round."""
    shutil.copytree(engine.ROOT / "docker/haproxy", folder, dirs_exist_ok=True)
    config = folder / "haproxy.cfg"
    kept = [line for line in config.read_text().splitlines() if not re.match(r" *stick", line)]
    changed = "\n".join(kept).replace("balance leastconn", "balance roundrobin")
    assert len(kept) == len(config.read_text().splitlines()) - 2 and "roundrobin" in changed
    config.write_text(changed + "\n")
    return engine.build("muxsocks-balancer:test-spread", folder, folder / "Dockerfile", "--build-arg",
                        f"BASE={engine.make_base('trixie')}")


class Client:
    """A client that reaches the balancer, and the servers where they tell it to, by a long way.
    Applications reach it in another network, so that they do not mind when it moves."""

    def __init__(self, up, image, server):
        self._network = f"{up.name}_link"
        mounted = ["-v", f"{up.config_volume()}:/etc/muxsocks"]
        shell = ["run", "--rm", "-i", "--entrypoint", "sh", *mounted, image, "-c"]
        settings = json.loads(docker(*shell, "cat /etc/muxsocks/client.json"))
        settings |= {"server": server, "log": {"level": "debug"}}
        docker(*shell, "cat > /etc/muxsocks/far.json", text=json.dumps(settings))
        self.container = docker("create", "--read-only", "--cap-drop=ALL", *mounted, image, "-c",
                                "/etc/muxsocks/far.json")
        docker("network", "connect", self._network, self.container)
        docker("start", self.container)
        self.proxy = engine.address(self.container, "bridge"), 1080

    def says(self, pattern, timeout=20):
        wait_until(lambda: re.search(pattern, self.log()), timeout,
                   lambda: f"{pattern}\n{self.log()[-4000:]}")

    def log(self):
        return engine.logs(self.container)

    def move(self):
        """Gives it another address."""
        before = engine.address(self.container, self._network)
        docker("network", "disconnect", self._network, self.container)
        docker("network", "connect", "--ip", before.rsplit(".", 1)[0] + ".200", self._network,
               self.container)

    def remove(self):
        docker("rm", "-f", self.container)


@pytest.fixture
def spread(project, images, files, tmp_path):
    """`spread(join_at)`: the project, up, with a client that is far from it."""
    with contextlib.ExitStack() as stack:

        def start(join_at):
            balanced, link = engine.free_subnets(2)
            up = project("1", FILES, LINK_PORT=programs.free_port(), BALANCED=balanced,
                         TEST_LINK=link, BALANCER_IMAGE=spreading_balancer(tmp_path))
            stack.callback(up.remove)
            up("up", "-d", *SERVERS, "balancer", "target", timeout=240)
            here = str(ipaddress.ip_network(link)[1])
            rules = {"destinations": {"allow": [up.subnet("targets")]}}

            def far(container, network):
                there = engine.address(up.container(container), f"{up.name}_{network}"), 8443
                made = Far(here, there, WAY)
                stack.callback(made.close)
                return made

            up.balancer = far("balancer", "link")
            up.joins = {name: far(name, "outside") for name in SERVERS} if join_at else {}
            # Each server has read the file with its own address in it.
            for name in SERVERS:
                own = {"join_at": up.joins[name].address} if join_at else {}
                up.change_server(images["server"], rules | own, [name])
            up.client = Client(up, images["client"], up.balancer.address)
            stack.callback(up.client.remove)
            up.client.says(r"link to .* is up")
            return up

        yield start


@pytest.fixture(scope="module")
def big(files):
    """A file of 10 s at the rate FAST."""
    return type(files.page)(name="big", digest=web.random_file(files.folder / "big", 20 << 20))


def run_downloads(up, files, big):
    """Bulk, and something beside it."""
    return [downloads.Many(1, up.client.proxy, big, FAST),
            downloads.Many(1, up.client.proxy, files.middle, SLOW)]


def all_complete(running):
    for each in running:
        each.wait()
        assert each.count("complete") == 1, each.found


def servers_of(up):
    """Which servers have accepted the client."""
    return [name for name in SERVERS if "link from me@" in engine.logs(up.container(name))]


def test_with_join_at_links_come_to_the_sessions_own_server(spread, files, big):
    up = spread(join_at=True)
    (own,) = servers_of(up)
    running = run_downloads(up, files, big)
    up.client.says(ANOTHER)
    assert up.joins[own].accepted == 1
    # What the client's address was is no more: both links go, and the session comes back.
    up.client.move()
    up.client.says(r"link to .* is back")
    all_complete(running)
    assert servers_of(up) == [own] and up.balancer.accepted == 1
    assert up.joins[own].accepted >= 2
    assert sum(each.accepted for each in up.joins.values()) == up.joins[own].accepted
    downloads.works(up.client.proxy, files.page, 60)


def test_without_it_a_link_that_lands_elsewhere_costs_nothing(spread, files, big):
    up = spread(join_at=False)
    (own,) = servers_of(up)
    running = run_downloads(up, files, big)
    up.client.says(r"another link to .* cannot join the session \(code \d+\)")
    tried = time.monotonic()
    all_complete(running)
    # Not tried again for a minute.
    again = run_downloads(up, files, big)
    all_complete(again)
    if time.monotonic() - tried > 55:
        pytest.skip("this machine is too busy to look for less than a minute")
    assert up.balancer.accepted == 2
    assert servers_of(up) == [own]
    assert not re.search(r"is back|wait to be resumed|has ended", up.client.log())
