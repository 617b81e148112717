"""Replies tell the truth: REP is the server's real result, BND the address it really used."""

import socket
import time

import pytest

from support import dns_server, programs, servers, socks
from support.deadline import seconds, wait_until

NOWHERE = "203.0.113.5"       # dropped without a word
UNREACHABLE = "198.51.100.5"  # a route that says host unreachable
NO_ROUTE = "192.0.2.5"


@pytest.fixture
def walled_pair(new_pair, namespace, dns):
    """A pair in a namespace with one network that swallows and one that is unreachable."""
    namespace.swallow_network("nowhere", "203.0.113.1/24")
    namespace.ip("route add unreachable 198.51.100.0/24")
    proxy = new_pair(server={"timeouts": {"connect": "700ms"},
                             "destinations": {"allow": ["192.0.2.0/24", "198.51.100.0/24",
                                                        "203.0.113.0/24"]}})
    proxy.start_server(prefix=namespace.prefix)
    proxy.start_client(prefix=namespace.prefix)
    return proxy


@pytest.mark.parametrize("host, rep", [
    (NO_ROUTE, socks.NETWORK_UNREACHABLE),
    (UNREACHABLE, socks.HOST_UNREACHABLE),
    (NOWHERE, socks.HOST_UNREACHABLE),
    ("2001:db8::5", socks.NETWORK_UNREACHABLE),
], ids=["no route", "unreachable", "time-out", "no IPv6 route"])
def test_networks_that_do_not_answer(walled_pair, namespace, host, rep):
    if ":" in host:
        namespace.need_ipv6()
        walled_pair.server_settings["destinations"]["allow"].append("2001:db8::/32")
        walled_pair.server.stop()
        walled_pair.start_server(prefix=namespace.prefix)
        walled_pair.wait_for_link(2)
    with namespace.inside():
        connection, reply = socks.ask(walled_pair.socks, host, 80)
    connection.close()
    assert reply.rep == rep


def test_without_ipv6_its_network_is_unreachable(new_pair, namespace):
    namespace.give_up_ipv6()
    proxy = new_pair(server={"destinations": {"allow": ["2001:db8::/32"]}})
    proxy.start_server(prefix=namespace.prefix)
    proxy.start_client(prefix=namespace.prefix)
    with namespace.inside():
        assert socks.rep_for(proxy.socks, "2001:db8::5", 80) == socks.NETWORK_UNREACHABLE


def test_a_lack_of_local_ports_is_no_fact_about_the_network(walled_pair, namespace):
    walled_pair.server.stop()
    walled_pair.server_settings["destinations"]["allow"].append("127.0.0.1")
    walled_pair.start_server(prefix=namespace.prefix)
    walled_pair.wait_for_link(2)
    with namespace.inside():
        server = servers.TargetServer(servers.hold)
        connections = [socks.open_connection(walled_pair.socks) for _ in range(3)]
    namespace.set("net/ipv4/ip_local_port_range", "40000 40001")
    replies = []
    for connection in connections:
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", server.port))
        replies.append(socks.read_reply(connection).rep)
    assert replies == [socks.SUCCEEDED] * 2 + [socks.GENERAL_FAILURE]
    for connection in connections:
        connection.close()
    server.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.ipv6)])
def test_refused(pair, host):
    assert socks.rep_for(pair().socks, host, programs.free_port(host)) == socks.CONNECTION_REFUSED


@pytest.mark.parametrize("cmd", [socks.BIND, 0, 4, 255])
def test_commands_that_are_not_supported(pair, cmd):
    assert socks.rep_for(pair().socks, "127.0.0.1", 80, cmd=cmd) == socks.COMMAND_NOT_SUPPORTED


@pytest.mark.parametrize("atyp", [0, 2, 5, 255])
def test_address_types_that_are_not_supported(pair, atyp):
    with socks.open_connection(pair().socks) as connection:
        socks.negotiate(connection)
        connection.sendall(bytes([5, 1, 0, atyp]) + bytes(6))
        assert socks.read_reply(connection).rep == socks.ADDRESS_TYPE_NOT_SUPPORTED
        assert servers.read_all(connection) == b""


def test_after_a_refusal_the_connection_closes_in_the_normal_way(pair):
    connection, reply = socks.ask(pair().socks, "127.0.0.1", programs.free_port())
    assert reply.rep == socks.CONNECTION_REFUSED
    assert servers.read_all(connection) == b""
    connection.close()


def test_names(pair, target, dns):
    dns.records.update({
        "no-address.test": [],
        "broken.test": dns_server.Answer(code=dns_server.SERVER_FAILURE),
        "silent.test": dns_server.Answer(silent=True),
        "long.test": dns_server.Answer(["127.0.0.1"], truncated=True),
        "late.test": dns_server.Answer(["127.0.0.1"], delay=0.3),
    })
    proxy = pair(server={"dns": {"servers": [dns.address], "timeout": "1s"}})
    port = target(servers.echo).port
    for name in ("nowhere.test", "no-address.test", "broken.test", "silent.test"):
        assert socks.rep_for(proxy.socks, name, port) == socks.HOST_UNREACHABLE, name
    for name in ("www.muxsocks.test", "WWW.Muxsocks.Test", "long.test", "late.test"):
        assert socks.rep_for(proxy.socks, name, port) == socks.SUCCEEDED, name


def test_a_slow_name_holds_up_nobody(pair, target, dns):
    for number in range(30):
        dns.records[f"slow{number}.test"] = dns_server.Answer(silent=True)
    proxy = pair(server={"dns": {"servers": [dns.address]}})
    port = target(servers.echo).port
    waiting = []
    for number in range(30):
        connection = socks.open_connection(proxy.socks)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes(f"slow{number}.test", port))
        waiting.append(connection)
    dns_server.wait_for_query(dns, "slow29.test")
    began = time.monotonic()
    assert socks.rep_for(proxy.socks, "www.muxsocks.test", port) == socks.SUCCEEDED
    assert time.monotonic() - began < seconds(1)
    for connection in waiting:
        connection.close()


def test_the_better_address_family_does_not_hold_up_the_other(walled_pair, namespace, dns):
    """RFC 8305: an IPv6 address that swallows, an IPv4 address that works."""
    namespace.need_ipv6()
    namespace.ip("address add 2001:db8::1/64 dev nowhere nodad")
    walled_pair.server.stop()
    walled_pair.server_settings["destinations"]["allow"].append("2001:db8::/32")
    with namespace.inside():
        inner_dns = dns_server.DnsServer({"both.test": ["2001:db8::5", "127.0.0.1"]})
        inner = servers.TargetServer(servers.echo)
    walled_pair.server_settings["dns"] = {"servers": [inner_dns.address]}
    walled_pair.server_settings["timeouts"]["connect"] = "5s"
    walled_pair.start_server(prefix=namespace.prefix)
    walled_pair.wait_for_link(2)
    began = time.monotonic()
    with namespace.inside():
        connection, reply = socks.ask(walled_pair.socks, "both.test", inner.port)
    assert reply.rep == socks.SUCCEEDED
    assert time.monotonic() - began < seconds(2)
    connection.close()
    inner.stop()
    inner_dns.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.ipv6)])
def test_bnd_is_the_address_that_the_target_sees(pair, target, host):
    peers = []
    server = target(lambda connection: peers.append(connection.getpeername()[:2]), host=host)
    connection, reply = socks.ask(pair().socks, host, server.port)
    assert reply.rep == socks.SUCCEEDED
    wait_until(lambda: peers, 5, "the target to see the connection")
    assert (reply.bnd_addr, reply.bnd_port) == peers.pop()
    connection.close()


def test_one_round_trip_of_the_link(pair, target):
    proxy = pair(relay=["delay 60ms"])
    port = target(servers.echo).port
    took = []
    for _ in range(6):
        connection = socks.open_connection(proxy.socks)
        socks.negotiate(connection)
        began = time.monotonic()
        connection.sendall(socks.request_bytes("127.0.0.1", port))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        took.append(time.monotonic() - began)
        connection.close()
    assert 0.12 <= min(took) < 0.23, took  # two would take 0.24


PRIVATE = [
    "127.0.0.1", "127.255.0.3", "::1", "0.0.0.0", "::", "10.1.2.3", "172.16.0.1", "192.168.1.1",
    "100.64.0.1", "169.254.169.254", "fe80::1", "fd00::1", "224.0.0.1", "ff02::1", "240.0.0.1",
    "255.255.255.255", "192.0.2.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_and_special_addresses_are_denied_by_default(pair, host):
    proxy = pair(server={"destinations": None})
    assert socks.rep_for(proxy.socks, host, 80) == socks.NOT_ALLOWED


def test_names_do_not_lead_to_private_addresses(pair, target, dns):
    server = target(servers.echo)
    dns.records.update({"127.0.0.1.nip.io": ["127.0.0.1"], "mixed.test": ["127.0.0.1", "::1"],
                        "mapped.test": ["::ffff:127.0.0.1"]})
    proxy = pair(server={"destinations": None, "dns": {"servers": [dns.address]}})
    for name in ("www.muxsocks.test", "127.0.0.1.nip.io", "mixed.test", "mapped.test", "127.0.0.1"):
        connection = socks.open_connection(proxy.socks)
        socks.negotiate(connection)
        packed = name.encode()
        connection.sendall(b"\x05\x01\x00\x03" + bytes([len(packed)]) + packed +
                           server.port.to_bytes(2, "big"))
        assert socks.read_reply(connection).rep == socks.NOT_ALLOWED, name
        connection.close()
    for name in ("localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0"):
        assert socks.rep_for(proxy.socks, name, server.port) in (socks.NOT_ALLOWED,
                                                                 socks.HOST_UNREACHABLE), name
    assert server.accepted == 0


def test_a_denial_says_which_key_allows_it(pair):
    proxy = pair(server={"destinations": None})
    assert socks.rep_for(proxy.socks, "127.0.0.1", 80) == socks.NOT_ALLOWED
    proxy.server.wait_for_log(r"allow_private")


def test_the_order_of_the_rules(pair, target):
    server = target(servers.echo)
    other = target(servers.echo)

    def rep(destinations, host="127.0.0.1", port=None):
        proxy = pair(server={"destinations": {"allow_private": None, **destinations}})
        found = socks.rep_for(proxy.socks, host, port or server.port)
        proxy.stop()
        return found

    assert rep({"allow": ["127.0.0.1"]}) == socks.SUCCEEDED
    assert rep({"allow": ["127.0.0.0/8"]}) == socks.SUCCEEDED
    assert rep({"allow": ["127.0.0.2"]}) == socks.NOT_ALLOWED
    assert rep({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.1"]}) == socks.NOT_ALLOWED
    assert rep({"allow_private": True, "deny": ["127.0.0.0/8"]}) == socks.NOT_ALLOWED
    assert rep({"allow_private": True, "ports": [server.port]}) == socks.SUCCEEDED
    assert rep({"allow_private": True, "ports": [other.port]}) == socks.NOT_ALLOWED
    assert rep({"allow_private": True}, "169.254.1.1", 80) == socks.NOT_ALLOWED


def test_rules_of_a_user_replace_the_general_ones(pair, target):
    server = target(servers.echo)
    users = [{"name": "alice", "token": "correct-horse-battery-staple-0123456789",
              "destinations": {"deny": ["127.0.0.0/8"]}}]
    proxy = pair(server={"users": users})
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.NOT_ALLOWED


def test_rules_of_a_user_do_not_drop_what_is_denied_to_all(pair, target):
    server = target(servers.echo)
    users = [{"name": "alice", "token": "correct-horse-battery-staple-0123456789",
              "destinations": {"allow": ["127.0.0.0/8"]}}]
    proxy = pair(server={"users": users, "destinations": {"deny": ["127.0.0.1"]}})
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.NOT_ALLOWED
    proxy.server.wait_for_log(r'denied by "127.0.0.1" in destinations.deny')


def inside_namespace(new_pair, namespace, **server):
    proxy = new_pair(server=server)
    proxy.start_server(prefix=namespace.prefix)
    proxy.start_client(prefix=namespace.prefix)
    return proxy


@pytest.mark.parametrize("allowed, rep", [({}, socks.NOT_ALLOWED),
                                          ({"allow_private": True}, socks.SUCCEEDED),
                                          ({"allow": ["93.184.216.5"]}, socks.SUCCEEDED)])
def test_an_address_that_ends_here_is_the_servers_own(new_pair, namespace, target, allowed, rep):
    """Though no interface has it: a route makes a whole network local."""
    namespace.ip("route add local 93.184.216.0/24 dev lo")
    with namespace.inside():
        listener = socket.create_server(("0.0.0.0", 0))
    port = listener.getsockname()[1]
    proxy = inside_namespace(new_pair, namespace, destinations={"allow_private": None, **allowed})
    with namespace.inside():
        assert socks.rep_for(proxy.socks, "93.184.216.5", port) == rep
    listener.close()


def test_a_port_is_not_connected_to_itself(new_pair, namespace):
    proxy = inside_namespace(new_pair, namespace)
    namespace.set("net/ipv4/ip_local_port_range", "40000 40000")
    with namespace.inside():
        assert socks.rep_for(proxy.socks, "127.0.0.1", 40000) == socks.CONNECTION_REFUSED


def test_more_dials_than_allowed_at_once_wait_their_turn(pair, target):
    server = target(servers.echo)
    proxy = pair(server={"limits": {"dials": 2}})
    connections = []
    for _ in range(40):
        connection = socks.open_connection(proxy.socks)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", server.port))
        connections.append(connection)
    for connection in connections:
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        connection.close()


def test_a_request_that_is_given_up_frees_its_dial(walled_pair, namespace):
    """Every dial slot is taken by a host that never answers; when the applications go away, the next
    request is served at once."""
    walled_pair.server_settings["limits"] = {"dials": 2}
    walled_pair.server_settings["timeouts"]["connect"] = "20s"
    walled_pair.server.stop()
    walled_pair.start_server(prefix=namespace.prefix)
    walled_pair.wait_for_link(2)
    with namespace.inside():
        inner = servers.TargetServer(servers.echo)
        waiting = []
        for _ in range(2):
            connection = socks.open_connection(walled_pair.socks)
            socks.negotiate(connection)
            connection.sendall(socks.request_bytes(NOWHERE, 80))
            waiting.append(connection)
        for connection in waiting:
            connection.close()
        began = time.monotonic()
        assert socks.rep_for(walled_pair.socks, "127.0.0.1", inner.port) == socks.SUCCEEDED
        assert time.monotonic() - began < seconds(3)
        inner.stop()
