"""RESOLVE (0xF0), Tor's addition to SOCKS5: the server looks a name up, and torsocks works by name."""

import shutil
import sys

import pytest

from support import programs, socks

RESOLVE = 0xF0


def resolve(proxy, name):
    connection, reply = socks.ask(proxy.socks, name, 0, cmd=RESOLVE)
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


@pytest.mark.skipif(not shutil.which("torsocks"), reason="torsocks is not installed")
def test_torsocks_finds_names(pair, named):
    proxy = pair(server=named)
    host, port = proxy.client.address.split(":")
    ended = programs.run(["torsocks", "-a", host, "-P", port, sys.executable, "-c",
                          "import socket; print(socket.gethostbyname('outside.muxsocks.test'))"])
    assert ended.stdout.strip() == "192.88.100.1", ended.stderr
