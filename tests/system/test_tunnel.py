"""Whole machines, by a program that brings what goes into a tun device to the client's SOCKS port: the recipe of
docs/OPERATIONS.md, with the files of packaging/tunnel, in namespaces of the test's own. The machine is `here`; the
server and the rest of the world are `there`, beyond a router.

The client runs as root here, and stands for the user that only it runs as; what the machine's users do is done as
another user."""

import os
import re
import shutil
from pathlib import Path

import pytest

from support import dns_server, programs, servers
from support.deadline import wait_until

RECIPE = Path(__file__).parents[2] / "packaging" / "tunnel"
DEVICE = "muxsocks0"
# The world, and this machine as the world sees it where it speaks for itself.
WORLD = {4: "198.20.9.1", 6: "2001:db8:100::1"}
HERE = {4: "198.20.0.1", 6: "2001:db8::1"}
ROUTER = {4: "198.20.0.2", 6: "2001:db8::2"}
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
NAME = "www.muxsocks.test"


def who(connection):
    """Tells whoever asks by HTTP where it comes from."""
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        asked += servers.read_exactly(connection, 1)
    body = connection.getpeername()[0].encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))


def command_of(program, folder, port):
    if program == "tun2socks":
        return [program, "--device", DEVICE, "--proxy", f"socks5://127.0.0.1:{port}"]
    text = (RECIPE / "hev-socks5-tunnel.yml").read_text()
    assert text.count("port: 1080") == 1
    config = folder / "tunnel.yml"
    config.write_text(text.replace("port: 1080", f"port: {port}"))
    return [program, config]


class Machine:
    """`here`, of which all traffic goes by the tunnel, once it is up."""

    def __init__(self, net, pair, folder, started, program):
        self.net, self.pair, self.started = net, pair, started
        with net.here.inside():
            ipv6 = programs.has_ipv6()
        self._give_addresses(ipv6)
        self._start(pair)
        self.command = command_of(program, folder, pair.client.port)
        with net.there.inside():
            self.target = {version: servers.TargetServer(who, host=WORLD[version])
                           for version in ((4, 6) if ipv6 else (4,))}
            self.names = dns_server.DnsServer({NAME: [WORLD[4]]}, host=WORLD[4], port=53)
        self.resolv = folder / "resolv.conf"
        self.resolv.write_text(f"nameserver {WORLD[4]}\n")

    def _give_addresses(self, ipv6):
        here, there = self.net.here, self.net.there
        for version in (4, 6) if ipv6 else (4,):
            if version == 6:
                here.ip(f"address add {HERE[6]}/64 dev wire nodad")
                there.ip(f"address add {ROUTER[6]}/64 dev wire nodad")
            there.ip(f"address add {WORLD[version]}/{32 if version == 4 else 128} dev lo")
            here.ip(f"-{version} route add default via {ROUTER[version]}")

    def _start(self, pair):
        """The server is beyond the router, too: nothing but its user keeps the link out of the tunnel."""
        address = f"{WORLD[4]}:{pair.server_endpoint[1]}"
        pair.server_settings["listen"] = pair.client_settings["server"] = address
        pair.client_settings["tls"]["server_name"] = "localhost"
        pair.start_server(prefix=self.net.there.prefix)
        pair.start_client(prefix=self.net.here.prefix)

    def routes(self, what):
        done = programs.run([*self.net.here.prefix, RECIPE / "muxsocks-tunnel-routes", what],
                            env={**os.environ, "MUXSOCKS_TUNNEL_USER": "root"})
        assert done.returncode == 0, done.stderr

    def up(self):
        self.routes("up")
        return self.start_tunnel()

    def start_tunnel(self):
        tunnel = self.started([*self.net.here.prefix, *self.command])
        wait_until(lambda: self.asks_who() == "proxied", 20,
                   lambda: f"the tunnel:\n{tunnel.last_words()}\n{self.pair.client.last_words()}")
        return tunnel

    def run(self, *command, timeout=30):
        """As one of the machine's users, whose names are looked up as its resolv.conf says."""
        inner = f'mount --bind "{self.resolv}" /etc/resolv.conf && exec "$@"'
        return programs.run([*self.net.here.prefix, "unshare", "--mount", "sh", "-c", inner, "sh", *NOBODY, *command],
                            timeout=timeout)

    def asks_who(self, host=None, version=4, patience=5):
        """Whether the world saw the server ask, "proxied", or this machine, "leaked"; else nothing."""
        host = host or WORLD[version]
        address = f"[{host}]" if ":" in host else host
        done = self.run("curl", "-s", "--max-time", patience, f"http://{address}:{self.target[version].port}/")
        if done.returncode != 0:
            return None
        assert done.stdout in (HERE[version], WORLD[version])
        return "leaked" if done.stdout == HERE[version] else "proxied"

    def stop(self):
        for each in self.target.values():
            each.stop()
        self.names.stop()


@pytest.fixture(params=["hev-socks5-tunnel", "tun2socks"])
def machine(request, internet, new_pair, folder, started):
    for needed in (request.param, "curl", "dig", "setpriv"):
        if not shutil.which(needed):
            pytest.skip(f"{needed} is not installed")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("/dev/net/tun is missing (modprobe tun)")
    pair = new_pair(server={"destinations": {"allow": ["2001:db8::/32"]}})
    made = Machine(internet, pair, folder, started, request.param)
    yield made
    made.stop()


@pytest.mark.once
def test_the_files_belong_together(folder):
    unit = (RECIPE / "muxsocks-tunnel.service").read_text()
    routes = (RECIPE / "muxsocks-tunnel-routes").read_text()
    config = (RECIPE / "hev-socks5-tunnel.yml").read_text()
    assert f":-{DEVICE}}}" in routes and f"name: {DEVICE}\n" in config and f"--device {DEVICE} " in unit
    assert "mtu 8500" in routes and "mtu: 8500" in config
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for path in set(re.findall(r"/usr/local/\S+/[\w-]+", unit)):
        unit = unit.replace(path, "/bin/true")
    (folder / "muxsocks-tunnel.service").write_text(unit)
    (folder / "muxsocks-client.service").write_text("[Service]\nExecStart=/bin/true\n")
    done = programs.run(["systemd-analyze", "verify", "--man=no", folder / "muxsocks-tunnel.service"])
    said = [line for line in (done.stdout + done.stderr).splitlines() if "muxsocks" in line]
    assert said == []


def test_everything_goes_by_the_server(machine):
    assert machine.asks_who() == "leaked", "the test would not notice it"
    tunnel = machine.up()
    # By a name, which is looked up through the tunnel, too.
    assert machine.asks_who(NAME) == "proxied"
    answer = machine.run("dig", "+short", "+notcp", f"@{WORLD[4]}", NAME)
    assert answer.stdout.strip() == WORLD[4], answer.stdout + answer.stderr
    answer = machine.run("dig", "+short", "+tcp", f"@{WORLD[4]}", NAME)
    assert answer.stdout.strip() == WORLD[4], answer.stdout + answer.stderr
    if 6 in machine.target:
        assert machine.asks_who(version=6) == "proxied"
    # Neighbours are reached as ever.
    done = machine.run("curl", "-s", "--max-time", 5, f"http://{ROUTER[4]}:{machine.target[4].port}/")
    assert done.returncode == 7, "nobody listens there, which the router says itself"
    tunnel.kill()
    assert machine.pair.client.says(r"UDP association ended, .*: [1-9]\d* datagrams up, [1-9]\d* down")


def test_the_link_does_not_go_into_the_tunnel(machine):
    machine.up()
    # Nor one that is begun anew meanwhile.
    machine.pair.client.stop()
    assert machine.asks_who(patience=1) is None
    machine.pair.start_client(prefix=machine.net.here.prefix)
    assert machine.asks_who() == "proxied"
    server = machine.pair.server
    assert server.says(rf"stream \d+ to {re.escape(machine.target[4].address)} ")
    assert not server.lines(rf"stream \d+ to {re.escape(server.address)} ")


def test_it_goes_on_where_it_is_brought_up_again(machine):
    machine.up()
    machine.routes("up")
    assert machine.asks_who() == "proxied"
    rules = programs.run([*machine.net.here.prefix, "ip", "rule"]).stdout
    assert len(re.findall(r"^528\d:", rules, re.MULTILINE)) == 3


def test_without_the_program_or_the_client_nothing_gets_out(machine):
    tunnel = machine.up()
    tunnel.kill()
    assert machine.asks_who(patience=1) is None
    # As where the device is gone, too.
    machine.net.here.ip(f"link delete {DEVICE}")
    assert machine.asks_who(patience=1) is None
    machine.up()
    machine.pair.client.kill()
    assert machine.asks_who(patience=1) is None


def test_afterwards_all_is_as_it_was(machine):
    def state():
        return [programs.run([*machine.net.here.prefix, "ip", *what.split()]).stdout for what in (
            "-4 rule", "-6 rule", "-4 route show table all", "-br link")]

    before = state()
    tunnel = machine.up()
    assert state() != before
    tunnel.kill()
    machine.routes("down")
    assert state() == before
    assert machine.asks_who() == "leaked"
