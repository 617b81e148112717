"""A container takes the place of another one, on the host's network, with the runtime folder in a
volume (docs/OPERATIONS.md, "Without a cut")."""

import json
import uuid

import pytest

from engine import docker, inspect, logs
from support import programs, servers, socks
from support.deadline import seconds, wait_until


@pytest.fixture
def containers(images):
    """`containers(role, *arguments)` starts one; all share a configuration and a runtime folder."""
    name = f"muxsocks-hand-over-{uuid.uuid4().hex[:8]}"
    mounts = ["-v", f"{name}-config:/etc/muxsocks", "-v", f"{name}-run:/run/muxsocks",
              "-e", "RUNTIME_DIRECTORY=/run/muxsocks", "--network", "host"]
    started = []

    def once(*arguments, **options):
        return docker("run", "--rm", "-i", *mounts, *arguments, **options)

    def start(role, *arguments):
        started.append(f"{name}-{len(started)}")
        docker("run", "-d", "--name", started[-1], *mounts, images[role], *arguments)
        return started[-1]

    start.port = programs.free_port()
    once(images["server"], "init", "--once", "--no-qr", "--dir", "/etc/muxsocks", "--host",
         f"127.0.0.1:{programs.free_port()}", "--client-listen", f"127.0.0.1:{start.port}")
    shell = ["--entrypoint", "sh", images["server"], "-c"]
    settings = json.loads(once(*shell, "cat /etc/muxsocks/server.json"))
    settings["destinations"] = {"allow": ["127.0.0.1"]}
    once(*shell, "cat > /etc/muxsocks/server.json", text=json.dumps(settings))
    yield start
    for each in started:
        docker("rm", "--force", each, check=False)
    docker("volume", "rm", "--force", f"{name}-config", f"{name}-run", check=False)


def test_a_container_takes_the_place_of_another_one(containers):
    echo = servers.TargetServer(servers.echo)
    running = {role: containers(role) for role in ("server", "client")}
    wait_until(lambda: " is up " in logs(running["client"]), 20, lambda: logs(running["client"]))
    with socks.connect(("127.0.0.1", containers.port), "127.0.0.1", echo.port) as connection:
        for role in ("server", "client", "server"):
            new = containers(role, "--take-over")
            wait_until(lambda: "has the place of process" in logs(new), 20, lambda: logs(new))
            wait_until(lambda: inspect(running[role], "{{.State.Status}} {{.State.ExitCode}}") ==
                       "exited 0", 20, lambda: logs(running[role]))
            running[role] = new
            connection.sendall(b"there")
            assert servers.read_exactly(connection, 5, seconds(20)) == b"there"
    echo.stop()
