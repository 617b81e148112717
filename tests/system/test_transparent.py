"""Connections that the kernel brings to the client: REDIRECT and TPROXY, in a namespace of the test's own. What
comes from 192.0.2.2 or 2001:db8::2 is redirected, what the programs themselves dial is not."""

import re
import shutil
import socket

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import seconds

pytestmark = pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed")
HOSTS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
ALLOWED = {"destinations": {"allow": ["192.0.2.0/24", "2001:db8::/32"]}}
REDIRECT = """table inet test {{
  chain output {{
    type nat hook output priority -100;
    ip saddr 192.0.2.2 tcp dport != {port} redirect to :{port}
    ip6 saddr 2001:db8::2 tcp dport != {port} redirect to :{port}
  }}
}}
"""
TPROXY = """table inet test {{
  chain output {{
    type route hook output priority -150;
    ip saddr 192.0.2.2 meta l4proto tcp meta mark set 1
    ip6 saddr 2001:db8::2 meta l4proto tcp meta mark set 1
  }}
  chain prerouting {{
    type filter hook prerouting priority -150;
    ip saddr 192.0.2.2 meta l4proto tcp tproxy ip to 127.0.0.1:{port} meta mark set 1
    ip6 saddr 2001:db8::2 meta l4proto tcp tproxy ip6 to [::1]:{port} meta mark set 1
  }}
}}
"""


@pytest.fixture
def transparent(new_pair, namespace, folder):
    """A pair in the namespace whose client takes what is redirected: `transparent("redirect")`."""
    def start(way, server=None, client=None):
        for version, hosts in HOSTS.items():
            for host in hosts:
                namespace.ip(f"address add {host}/{32 if version == 4 else 128} dev lo")
        with namespace.inside():
            port = programs.free_port()
        if way == "tproxy":
            for family, everything in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
                namespace.ip(f"{family} rule add fwmark 1 lookup 100")
                namespace.ip(f"{family} route add local {everything} dev lo table 100")
        rules = folder / "rules"
        rules.write_text((REDIRECT if way == "redirect" else TPROXY).format(port=port))
        ended = programs.run([*namespace.prefix, "nft", "-f", rules])
        if ended.returncode != 0:
            assert "syntax error" not in ended.stderr, ended.stderr
            pytest.skip(f"no such rules here: {ended.stderr[:200]}")
        proxy = new_pair(server=muxsocks.merge(ALLOWED, server or {}), client=client or {})
        proxy.client_settings["listen"] = [proxy.client_settings["listen"]] + [
            {"address": f"{host}:{port}", "accept": [way]} for host in ("127.0.0.1", "[::1]")]
        proxy.start_server(prefix=namespace.prefix)
        proxy.start_client(prefix=namespace.prefix)
        proxy.redirected = port
        return proxy
    return start


def connect(namespace, to, version=4):
    """From the address that is redirected."""
    with namespace.inside():
        connection = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6)
        connection.settimeout(seconds(20))
        connection.bind((HOSTS[version][1], 0))
        connection.connect(to)
    return connection


@pytest.mark.parametrize("way", ["redirect", "tproxy"])
@pytest.mark.parametrize("version", [4, pytest.param(6, marks=pytest.mark.ipv6)])
def test_connections_reach_their_targets_by_the_server(transparent, namespace, target, way, version):
    proxy = transparent(way)
    with namespace.inside():
        echo = target(servers.echo, host=HOSTS[version][0])
    with connect(namespace, echo.endpoint, version) as connection:
        connection.sendall(b"without a word")
        # At once, and perhaps before the target is connected: it is no reason to give up.
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b"without a word"
    assert proxy.server.says(rf"stream \d+ to {re.escape(echo.address)} ended: 14 bytes up, 14 bytes down")


def test_many_that_end_at_once_lose_nothing(transparent, namespace, target):
    transparent("redirect")
    with namespace.inside():
        echo = target(servers.echo, host=HOSTS[4][0])
    for number in range(50):
        with connect(namespace, echo.endpoint) as connection:
            connection.sendall(b"%d" % number)
            connection.shutdown(socket.SHUT_WR)
            assert servers.read_all(connection) == b"%d" % number


def test_a_refusal_is_a_reset(transparent, namespace):
    transparent("redirect")
    with namespace.inside():
        nobody = programs.free_port()
    # It may be there before connect() has returned.
    with pytest.raises(ConnectionResetError), connect(namespace, (HOSTS[4][0], nobody)) as connection:
        servers.read_all(connection, seconds(20))


def test_a_rule_of_the_server_is_a_reset(transparent, namespace, target):
    transparent("redirect", server={"destinations": {"deny": ["192.0.2.1"]}})
    with namespace.inside():
        echo = target(servers.echo, host=HOSTS[4][0])
    with pytest.raises(ConnectionResetError), connect(namespace, echo.endpoint) as connection:
        servers.read_all(connection, seconds(20))
    assert echo.accepted == 0


def test_direct_holds_for_them(transparent, namespace, target):
    proxy = transparent("redirect", client={"direct": ["192.0.2.0/24"]}, server={"destinations": {"allow": []}})
    with namespace.inside():
        echo = target(servers.echo, host=HOSTS[4][0])
    with connect(namespace, echo.endpoint) as connection:
        connection.sendall(b"x")
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b"x"
    assert proxy.client.says("goes direct")


@pytest.mark.parametrize("way", ["redirect", "tproxy"])
def test_nobody_gets_anywhere_by_the_listener_itself(transparent, namespace, way):
    proxy = transparent(way)
    with namespace.inside():
        connection = socks.open_connection(("127.0.0.1", proxy.redirected))
    with connection:
        assert connection.recv(1) == b""
    assert proxy.client.says("where only redirected ones are taken")


@pytest.mark.parametrize("listener,users,said", [
    ({"address": "127.0.0.1:1", "accept": ["redirect", "http"]}, False, "alone"),
    ({"address": "127.0.0.1:1", "accept": ["redirect", "tproxy"]}, False, "alone"),
    ({"address": "unix:/nowhere", "accept": ["redirect"]}, False, "unix-domain"),
    ({"address": "192.0.2.1:1", "accept": ["redirect"]}, False, "open_listener"),
    ({"address": "127.0.0.1:1", "accept": ["redirect"]}, True, "nobody can log in")])
def test_what_is_refused(new_pair, listener, users, said):
    proxy = new_pair(client={"users": [{"name": "ann", "password": "x"}]} if users else {})
    proxy.client_settings["listen"] = [listener]
    ended = muxsocks.check("client", proxy.folder, proxy.client_settings)
    assert ended.returncode != 0 and said in ended.stderr, ended.stderr


def test_the_documented_rules_are_rules(namespace, folder):
    text = (programs.ROOT / "docs/OPERATIONS.md").read_text()
    rules, = re.findall(r"^    table inet muxsocks \{.*?^    \}\n", text, re.M | re.S)
    (folder / "rules").write_text(rules.replace('"muxsocks-client"', "12345"))
    ended = programs.run([*namespace.prefix, "nft", "-f", folder / "rules"])
    assert "syntax error" not in ended.stderr, ended.stderr
    if ended.returncode != 0:
        pytest.skip(f"no such rules here: {ended.stderr[:200]}")
