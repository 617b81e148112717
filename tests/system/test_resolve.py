"""RESOLVE (0xF0) and RESOLVE_PTR (0xF1), Tor's additions to SOCKS5: the server looks names up, and torsocks works
by name."""

import shutil
import sys

import pytest

from support import programs, socks
from support.dns_server import Answer

RESOLVE, RESOLVE_PTR = 0xF0, 0xF1


def resolve(proxy, name, cmd=RESOLVE):
    connection, reply = socks.ask(proxy.socks, name, 0, cmd=cmd)
    with connection:
        assert connection.recv(1) == b"", "something behind the reply"
    return reply.rep, reply.bnd_addr


@pytest.fixture
def named(dns):
    dns.records.update({"inside.muxsocks.test": ["10.1.2.3"], "both.muxsocks.test": ["10.1.2.3", "127.0.0.1"],
                        "outside.muxsocks.test": ["192.88.100.1"]})
    return {"dns": {"servers": [dns.address], "prefer": "ipv4"},
            "destinations": {"allow_private": False, "allow": ["127.0.0.0/8", "192.88.100.0/24"], "ports": [443]}}


def test_only_addresses_that_may_be_dialled_are_told(pair, named):
    proxy = pair(server=named)
    assert resolve(proxy, "www.muxsocks.test") == (socks.SUCCEEDED, "127.0.0.1")
    assert resolve(proxy, "outside.muxsocks.test") == (socks.SUCCEEDED, "192.88.100.1")
    assert resolve(proxy, "both.muxsocks.test") == (socks.SUCCEEDED, "127.0.0.1")
    assert resolve(proxy, "inside.muxsocks.test")[0] == socks.NOT_ALLOWED
    assert resolve(proxy, "unknown.muxsocks.test")[0] == socks.HOST_UNREACHABLE
    assert resolve(proxy, "127.0.0.1") == (socks.SUCCEEDED, "127.0.0.1")
    assert resolve(proxy, "10.1.2.3")[0] == socks.NOT_ALLOWED


def test_an_application_that_goes_away_cancels_its_question(pair, named):
    proxy = pair(server={**named, "dns": {"servers": ["127.0.0.1:9"], "timeout": "30s"}})
    for _ in range(20):
        connection = socks.open_connection(proxy.socks)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("www.muxsocks.test", 0, RESOLVE))
        connection.close()
    assert resolve(proxy, "127.0.0.1") == (socks.SUCCEEDED, "127.0.0.1")


def test_names_of_addresses_that_may_be_dialled(pair, named, dns):
    dns.records.update({"1.100.88.192.in-addr.arpa": Answer(names=["outside.muxsocks.test"]),
                        "2.100.88.192.in-addr.arpa": Answer(names=["what a name"]),
                        "3.2.1.10.in-addr.arpa": Answer(names=["inside.muxsocks.test"])})
    proxy = pair(server=named)
    assert resolve(proxy, "192.88.100.1", RESOLVE_PTR) == (socks.SUCCEEDED, "outside.muxsocks.test")
    assert resolve(proxy, "127.0.0.1", RESOLVE_PTR) == (socks.SUCCEEDED, "localhost")
    assert resolve(proxy, "10.1.2.3", RESOLVE_PTR)[0] == socks.NOT_ALLOWED
    assert resolve(proxy, "192.88.100.2", RESOLVE_PTR)[0] == socks.HOST_UNREACHABLE
    assert resolve(proxy, "192.88.100.3", RESOLVE_PTR)[0] == socks.HOST_UNREACHABLE
    assert resolve(proxy, "outside.muxsocks.test", RESOLVE_PTR)[0] == socks.ADDRESS_TYPE_NOT_SUPPORTED
    assert "3.2.1.10.in-addr.arpa" not in [name for name, _ in dns.queries]


def test_questions_wait_for_their_user(pair, named, dns):
    """A look-up of either direction takes a place of `limits.user.lookups`."""
    dns.records["1.100.88.192.in-addr.arpa"] = Answer(names=["outside.muxsocks.test"], delay=0.2)
    proxy = pair(server={**named, "limits": {"user": {"lookups": 1}}})
    waiting = [socks.open_connection(proxy.socks) for _ in range(5)]
    for each in waiting:
        socks.negotiate(each)
        each.sendall(socks.request_bytes("192.88.100.1", 0, RESOLVE_PTR))
    for each in waiting:
        assert socks.read_reply(each).rep == socks.SUCCEEDED
        each.close()


@pytest.mark.skipif(not shutil.which("torsocks"), reason="torsocks is not installed")
def test_torsocks_finds_names(pair, named):
    proxy = pair(server=named)
    host, port = proxy.client.address.split(":")
    ended = programs.run(["torsocks", "-a", host, "-P", port, sys.executable, "-c",
                          "import socket; print(socket.gethostbyname('outside.muxsocks.test'))"])
    assert ended.stdout.strip() == "192.88.100.1", ended.stderr
