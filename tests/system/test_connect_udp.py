"""UDP by HTTP's Upgrade (RFC 9298, connect-udp): capsules on the client's port, datagrams at the target."""

import base64
import os
import socket
import threading

import pytest

from support import deadline, dns_server, http, programs, servers, socks
from support.deadline import wait_until
from support.udp_tunnel import ask, capsule, open_tunnel, read_datagram, request

SIZES = [0, 1, 62, 63, 64, 512, 1_199, 1_472, 4_096, 16_382, 16_383, 32_768, 65_000, 65_507]


def test_datagrams_of_all_sizes(pair, udp_target):
    echo = udp_target()
    with open_tunnel(pair(), "127.0.0.1", echo.port) as connection:
        for size in SIZES:
            payload = os.urandom(size)
            assert ask(connection, payload) == payload


@pytest.mark.ipv6
def test_an_ipv6_target(pair, udp_target):
    echo = udp_target(host="::1")
    with open_tunnel(pair(), "::1", echo.port) as connection:
        assert ask(connection, b"six") == b"six"


def test_a_name_is_looked_up_by_the_server(pair, udp_target, dns):
    echo = udp_target()
    with open_tunnel(pair(server={"dns": {"servers": [dns.address], "prefer": "ipv4"}}), "www.muxsocks.test",
                     echo.port) as connection:
        assert ask(connection, b"named") == b"named"


def test_capsules_behind_the_request_are_not_lost(pair, udp_target):
    echo = udp_target()
    proxy = pair()
    with socket.create_connection(proxy.socks, timeout=deadline.seconds(20)) as connection:
        connection.sendall(request("127.0.0.1", echo.port, proxy) + capsule(b"early"))
        assert http.read_head(connection).startswith("HTTP/1.1 101 ")
        assert read_datagram(connection) == b"early"


def test_a_flood_of_empty_datagrams_takes_no_memory(pair, udp_target):
    echo = udp_target(lambda payload, sender: payload or None)
    proxy = pair()
    with open_tunnel(proxy, "127.0.0.1", echo.port) as connection:
        assert ask(connection, b"before") == b"before"
        before = proxy.client.resident_bytes()
        connection.settimeout(deadline.seconds(60))
        for _ in range(200):
            connection.sendall(capsule(b"") * 10_000)
        # Sanitizers keep what is freed.
        assert programs.sanitizer() or proxy.client.resident_bytes() < before + (16 << 20)
        assert ask(connection, b"after") == b"after"


def test_what_is_unknown_is_passed_over(pair, udp_target):
    echo = udp_target()
    with open_tunnel(pair(), "127.0.0.1", echo.port) as connection:
        connection.sendall(capsule(b"other capsule", kind=0x3fff) + capsule(b"other context", context=2))
        assert ask(connection, b"known") == b"known"
    assert echo.seen.count(b"known") >= 1 and set(echo.seen) == {b"known"}


def test_only_the_target_is_heard(pair, udp_target):
    echo = udp_target()
    stranger = udp_target()
    with open_tunnel(pair(), "127.0.0.1", echo.port) as connection:
        assert ask(connection, b"x") == b"x"
        stranger.socket.sendto(b"unasked", echo.senders[-1])
        assert ask(connection, b"y") == b"y"


def test_an_application_that_does_not_read_gets_whole_capsules(pair, udp_target):
    """What its connection does not take is lost, but never a part of a datagram."""
    echo = udp_target()
    payload = os.urandom(60_000)
    pause = threading.Event()
    with open_tunnel(pair(), "127.0.0.1", echo.port) as connection:
        assert ask(connection, b"x") == b"x"
        for _ in range(250):  # 15 MB, more than the two sockets hold
            echo.socket.sendto(payload, echo.senders[-1])
            pause.wait(0.002)
        got = 0
        while (datagram := read_datagram(connection)) == payload:
            got += 1
            # Behind all that waits there is room again, at the latest.
            echo.socket.sendto(b"last", echo.senders[-1])
        assert datagram == b"last"
        assert 0 < got < 250


def test_failures_are_told_before_the_tunnel(pair, dns, udp_target):
    settings = {"dns": {"servers": [dns.address]}, "destinations": {"allow_private": False}}
    proxy = pair(server=settings)
    for host, status in (("no-such-name.muxsocks.test", 504), ("127.0.0.1", 403)):
        connection, answer = http.ask(proxy.socks, request(host, 53, proxy))
        connection.close()
        assert answer.status == status, answer.head
    proxy = pair(server={"udp": {"enabled": False}})
    assert http.status(proxy.socks, request("127.0.0.1", 53, proxy)) == 502
    proxy = pair(client={"udp": {"enabled": False}})
    assert http.status(proxy.socks, request("127.0.0.1", 53, proxy)) == 502


def test_what_has_no_stream_in_time_is_refused(pair, target):
    hold = target(servers.hold)
    proxy = pair(server={"limits": {"streams": 1}}, client={"timeouts": {"wait": "300ms"}})
    with socks.connect(proxy.socks, "127.0.0.1", hold.port):
        connection, answer = http.ask(proxy.socks, request("127.0.0.1", 53, proxy))
        connection.close()
        assert (answer.status, answer.body) == (503, b"There is no link to the server.\n"), answer.head


def test_what_is_idle_before_the_tunnel_is_told(pair, dns):
    dns.records["silent.test"] = dns_server.Answer(silent=True)
    proxy = pair(server={"dns": {"servers": [dns.address], "timeout": "30s"}},
                 client={"timeouts": {"udp_idle": "1s"}})
    connection, answer = http.ask(proxy.socks, request("silent.test", 53, proxy))
    connection.close()
    assert (answer.status, answer.body) == (502, b"The server has given no answer.\n"), answer.head


@pytest.mark.parametrize("change", [lambda text: text.replace(b"connect-udp", b"websocket"),
                                    lambda text: text.replace(b"GET", b"POST"),
                                    lambda text: text.replace(b"HTTP/1.1", b"HTTP/1.0"),
                                    lambda text: text.replace(b"/53/", b"/0/"),
                                    lambda text: text.replace(b"127.0.0.1/53", b"a b/53")])
def test_what_is_no_request_for_it(pair, change):
    proxy = pair()
    assert http.status(proxy.socks, change(request("127.0.0.1", 53, proxy))) == 400


def test_users_log_in_by_basic(pair, udp_target):
    echo = udp_target()
    proxy = pair(client={"users": [{"name": "ann", "password": "s3cret"}]})
    assert http.status(proxy.socks, request("127.0.0.1", echo.port, proxy)) == 407
    login = base64.b64encode(b"ann:s3cret").decode()
    with open_tunnel(proxy, "127.0.0.1", echo.port, f"Proxy-Authorization: Basic {login}\r\n") as connection:
        assert ask(connection, b"x") == b"x"


def test_ends(pair, udp_target):
    echo = udp_target()
    proxy = pair(client={"timeouts": {"udp_idle": "1s"}})
    before = [each.sockets() for each in proxy.programs]
    with open_tunnel(proxy, "127.0.0.1", echo.port) as connection:
        assert ask(connection, b"x") == b"x"
        connection.settimeout(deadline.seconds(20))
        assert connection.recv(1) == b"", "idle"
    for wrong in (b"\x00\x00", capsule(bytes(65_528))):
        with open_tunnel(proxy, "127.0.0.1", echo.port) as connection:
            connection.sendall(wrong)
            connection.settimeout(deadline.seconds(20))
            assert connection.recv(1) == b"", "a capsule without a context, or longer than a datagram"
    wait_until(lambda: len(proxy.client.lines("UDP tunnel ended, what its application sends are no capsules")) == 2, 10,
               "both to be told")
    open_tunnel(proxy, "127.0.0.1", echo.port).close()
    wait_until(lambda: [each.sockets() for each in proxy.programs] == before, 20, "the sockets to be closed")


def test_it_outlives_the_link(pair, udp_target):
    echo = udp_target()
    proxy = pair(relay=[])
    with open_tunnel(proxy, "127.0.0.1", echo.port) as connection:
        assert ask(connection, b"before") == b"before"
        port = echo.senders[-1]
        proxy.relay.do("cut")
        proxy.client.says("is back")
        assert ask(connection, b"after") == b"after"
    assert echo.senders[-1] == port


def test_nothing_old_comes_after_a_lost_link(pair, udp_target):
    echo = udp_target()
    proxy = pair(relay=[], client={"udp": {"max_delay": "10ms"}})
    with open_tunnel(proxy, "127.0.0.1", echo.port) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.relay.do("refuse on")
        proxy.relay.do("cut rst")
        proxy.client.wait_for_log("link to .* lost")
        for _ in range(100):
            connection.sendall(capsule(b"meanwhile"))
        # Two more attempts: by then the last of them is older than 10 ms.
        failed = len(proxy.client.lines("link to .* failed"))
        wait_until(lambda: len(proxy.client.lines("link to .* failed")) > failed + 1, 20,
                   "two attempts to fail")
        proxy.relay.do("refuse off")
        assert ask(connection, b"after", tries=60) == b"after"
        assert b"meanwhile" not in echo.seen
