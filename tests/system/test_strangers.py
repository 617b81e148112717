"""Strangers who connect and say nothing lock nobody out: not in their masses, and not from the
address of a user."""

import contextlib
import socket
import ssl

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import seconds, wait_until

PLACES = 64
# Time alone sends no stranger away within a test.
LIMITS = {"limits": {"unauthenticated": PLACES}, "timeouts": {"handshake": "60s"},
          "log": {"level": "info"}}


@contextlib.contextmanager
def silent_strangers(endpoint, sources):
    """One connection from each of these addresses of loopback, which says nothing."""
    with contextlib.ExitStack() as held:
        connections = []
        for source in sources:
            connection = held.enter_context(socket.socket())
            connection.settimeout(seconds(5))
            connection.bind((source, 0))
            connection.connect(endpoint)
            connections.append(connection)
        yield connections


def many_sources(count):
    """As many hosts in thirty blocks of 256."""
    return [f"127.9.{number % 30}.{number // 30 + 1}" for number in range(count)]


def healthy(server):
    """Asks as orchestrators do, which act on the third failure in a row only."""
    for _ in range(3):
        ended = programs.run([programs.binary("muxsocks-server"), "health", "-c", server.config_path])
        if ended.returncode == 0:
            break
    return ended


def is_served(pair, echo):
    with socks.connect(pair.socks, *echo.endpoint) as connection:
        connection.sendall(b"x")
        return connection.recv(1) == b"x"


def test_more_strangers_than_places_keep_nobody_out(new_pair, target):
    echo = target(servers.echo)
    pair = new_pair(server=LIMITS)
    server = pair.start_server()
    with silent_strangers(pair.server_endpoint, many_sources(4 * PLACES)):
        for _ in range(3):
            ended = healthy(server)
            assert ended.returncode == 0, ended.stdout
            pair.start_client()
            assert is_served(pair, echo)
            assert pair.client.stop() == 0
        # Those who had to go are gone, and a few sockets are the server's own.
        wait_until(lambda: server.sockets() <= PLACES + 16, 5,
                   lambda: f"{server.sockets()} sockets to be fewer")
    assert server.says("gave its place to a newer one")
    # Each kind of line is written five times a minute.
    assert len(server.lines("gave its place to a newer one")) <= 5


def test_idle_connections_from_a_users_own_address_do_not_lock_that_user_out(new_pair, target):
    echo = target(servers.echo)
    pair = new_pair(server=LIMITS)
    server = pair.start_server()
    with silent_strangers(pair.server_endpoint, ["127.0.0.1"] * 40) as strangers:
        pair.start_client()
        assert is_served(pair, echo)
        assert healthy(server).returncode == 0
        # No more than limits.unauthenticated_per_address of them are left.
        wait_until(lambda: server.sockets() <= 8 + 16, 5,
                   lambda: f"{server.sockets()} sockets to be fewer")
        assert strangers[0].recv(1) == b""


@pytest.mark.parametrize("threads", [1, 3])
def test_a_client_that_was_there_comes_back_whoever_else_knocks(new_pair, target, threads):
    """Its address has places of its own, so its new link is not even the next one to go."""
    echo = target(servers.echo)
    pair = new_pair(server={**LIMITS, "threads": threads}, relay=[])
    pair.start()
    with socks.connect(pair.socks, *echo.endpoint) as connection:
        with silent_strangers(pair.server_endpoint, many_sources(3 * PLACES)):
            for number in range(3):
                pair.relay.do("cut")
                pair.client.wait_for_log("is back", count=number + 1)
                connection.sendall(b"ping")
                assert connection.recv(4) == b"ping"


def client_hello():
    """The first flight of a client of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


@pytest.mark.slow
def test_handshakes_of_strangers_hold_no_more_memory_than_there_are_places(new_pair):
    """48 KiB for each place, however many begin one and never end it (docs/OPERATIONS.md)."""
    places = 128
    pair = new_pair(server={**LIMITS, "limits": {"unauthenticated": places}})
    server = pair.start_server()
    hello = client_hello()
    before = server.resident_bytes()
    with contextlib.ExitStack() as held:
        for source in many_sources(1024):
            connection = held.enter_context(socket.socket())
            connection.settimeout(seconds(5))
            connection.bind((source, 0))
            with contextlib.suppress(OSError):  # All places may be in the midst of a handshake.
                connection.connect(pair.server_endpoint)
                connection.sendall(hello)
                connection.recv(1)
        wait_until(lambda: server.sockets() <= places + 16, 10,
                   lambda: f"{server.sockets()} sockets to be fewer")
        more = server.resident_bytes() - before
        assert more < places * 48 * 1024 + 4 * 1024 * 1024, more
        # Those who shake hands for long give way.
        wait_until(lambda: healthy(server).returncode == 0, 10, server.last_words)
