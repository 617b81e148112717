"""Fixtures of the system tests: the real binaries, with real clients, on loopback.

MUXSOCKS_BUILD names the build under test (a folder or a preset); see support/programs.py.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from support import (deadline, dns_server, hand_over, keys, muxsocks, namespace, programs, relay,  # noqa: E402
                     servers, udp, wan, web)

if programs.sanitizer():
    deadline.slowness = 8.0


def pytest_runtest_setup(item):
    if item.get_closest_marker("ipv6") and not programs.has_ipv6():
        pytest.skip("no IPv6 here")


@pytest.fixture
def folder(tmp_path):
    """Where a test's programs put their files."""
    return tmp_path


@pytest.fixture(scope="session", name="keys")
def throw_away_keys(tmp_path_factory):
    return keys.Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def target():
    """Starts targets: `target(servers.echo)` returns a running TargetServer."""
    started = []

    def start(handler, **options):
        started.append(servers.TargetServer(handler, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def udp_target():
    """Starts UDP targets: `udp_target()` returns a running udp.Target, an echo."""
    started = []

    def start(*arguments, **options):
        started.append(udp.Target(*arguments, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def website(folder):
    """Starts web servers on the folder `www`: `website()` or `website(keys=keys)` for HTTPS."""
    started = []
    root = folder / "www"
    root.mkdir()

    def start(**options):
        started.append(web.WebServer(root, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def dns():
    """A name server; tests put records into `dns.records`."""
    server = dns_server.DnsServer({"www.muxsocks.test": ["127.0.0.1"]})
    yield server
    server.stop()


@pytest.fixture
def relay_to(folder):
    """Starts relays: `relay_to(endpoint, "delay 50ms", ...)` returns a running Relay."""
    started = []

    def start(endpoint, *commands, **options):
        started.append(relay.Relay(folder, endpoint, *commands, **options))
        return started[-1]

    yield start
    for each in started:
        if each.running():
            assert each.stop() == 0, each.last_words()


@pytest.fixture
def new_pair(folder, keys, relay_to):
    """Makes pairs that the test starts itself: `new_pair(server={...}, client={...}, relay=[...])`,
    the dicts laid over the usual configuration, `relay` the commands of a relay between the two.
    At the end everything has to stop in time, with exit code 0 and no sanitizer's report."""
    made = []

    def make(**options):
        made.append(muxsocks.Pair(folder / f"pair{len(made)}", keys, relay_to, **options))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def pair(new_pair):
    """The same, started: server and client run and the link is up."""
    return lambda **options: new_pair(**options).start()


@pytest.fixture
def event():
    """Events that are set at the end, so that no thread waits for one."""
    made = []

    def make():
        made.append(threading.Event())
        return made[-1]

    yield make
    for each in made:
        each.set()


@pytest.fixture
def runtime():
    """A runtime folder whose path is short enough for a socket."""
    made = tempfile.mkdtemp(prefix="muxsocks-")
    yield Path(made)
    shutil.rmtree(made)


@pytest.fixture
def new_place(new_pair, runtime):
    """`new_place("client", **settings)`: a pair whose client, or server, can be taken over; `prefix`
    stands in front of both programs' commands."""

    def make(role, prefix=(), **settings):
        made = hand_over.Place(new_pair(**settings), role, runtime, prefix)
        if role == "client":
            made.pair.start_server(prefix=prefix)
        made.start()
        if role == "server":
            made.pair.start_client(wait_for_link=False, prefix=prefix)
        made.pair.wait_for_link()
        made.wait_for_offer()
        return made

    return make


@pytest.fixture(name="namespace")
def network_namespace():
    """A network namespace of the test's own: put `namespace.prefix` before a program's command."""
    made = namespace.Namespace()
    yield made
    made.stop()


@pytest.fixture
def internet():
    made = namespace.Internet()
    yield made
    made.stop()


@pytest.fixture(name="wan")
def wide_area_network(folder):
    """Makes WANs: `wan("delay 50ms", "rate 100mbit", "loss 0.5")` returns a running Wan."""
    made = []

    def make(*commands, **options):
        made.append(wan.Wan(folder, *commands, **options))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def started(folder):
    """Starts any other program: `started(["sshd", ...])` returns a Program, killed at the end."""
    running = []

    def start(arguments, **options):
        running.append(programs.Program(arguments, folder, **options))
        return running[-1]

    yield start
    for each in running:
        each.kill()


@pytest.fixture
def ssh_server(folder, started):
    """An sshd of the test's own with throw-away keys; returns (port, options for ssh)."""
    if not (os.path.exists("/usr/sbin/sshd") and shutil.which("ssh") and shutil.which("nc")):
        pytest.skip("sshd, ssh or nc is not installed")
    home = folder / "ssh"
    home.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    port = programs.free_port()
    config = home / "sshd_config"
    config.write_text(f"ListenAddress 127.0.0.1:{port}\nHostKey {home}/host\nPidFile none\n"
                      f"AuthorizedKeysFile {home}/user.pub\nStrictModes no\nUsePAM no\n"
                      "PermitRootLogin yes\nPasswordAuthentication no\nMaxStartups 100\n")
    server = started(["/usr/sbin/sshd", "-D", "-e", "-f", config])
    server.wait_for_log("Server listening")
    return port, ["-F", "none", "-i", str(home / "user"), "-o", "StrictHostKeyChecking=no", "-o",
                  f"UserKnownHostsFile={home}/known", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
