"""Ends tell the truth: a FIN is a half-close, a RST is a RST, in both directions."""

import contextlib
import selectors
import socket
import threading
import time

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import seconds, wait_until


def test_the_targets_fin_leaves_the_other_direction_open(pair, target):
    received = []

    def say_and_listen(connection):
        connection.sendall(b"all I have to say")
        connection.shutdown(socket.SHUT_WR)
        received.append(servers.read_all(connection))

    proxy = pair()
    with socks.connect(proxy.socks, "127.0.0.1", target(say_and_listen).port) as connection:
        assert servers.read_all(connection) == b"all I have to say"
        connection.sendall(b"and this is ")
        connection.sendall(b"my answer")
    wait_until(lambda: received == [b"and this is my answer"], 5, lambda: received)


def test_the_applications_fin_leaves_the_other_direction_open(pair, target):
    def listen_and_say(connection):
        question = servers.read_all(connection)
        connection.sendall(question[::-1])
        connection.sendall(bytes(500_000))

    proxy = pair()
    with socks.connect(proxy.socks, "127.0.0.1", target(listen_and_say).port) as connection:
        connection.sendall(b"question")
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b"noitseuq" + bytes(500_000)


def test_a_refusal_ends_the_connection_of_an_application_that_does_not(pair):
    """Behind the reply comes the end, never a reset; the stream and its descriptors are free at once
    and after the two seconds that last words may take."""
    nobody = programs.free_port()
    proxy = pair()
    before = [each.sockets() for each in proxy.programs]
    for early in (b"", b"and at once " * 1000):
        connection = socks.open_connection(proxy.socks)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", nobody) + early)
        assert socks.read_reply(connection).rep == socks.CONNECTION_REFUSED
        assert servers.read_all(connection, seconds(5)) == b""
        began = time.monotonic()
        for each in proxy.programs:
            wait_until(lambda: each.statistics()["streams"] == 0, 1, f"{each.role}'s stream to end")
        wait_until(lambda: [each.sockets() for each in proxy.programs] == before, 3,
                   "the descriptors to be given back")
        assert time.monotonic() - began < seconds(3)
        assert connection.recv(1) == b""  # still no reset
        connection.close()
    assert not proxy.server.lines("given up|reset")


def test_the_targets_reset_reaches_the_application(pair, target):
    proxy = pair()
    server = target(servers.greet_and(servers.reset))
    with socks.connect(proxy.socks, "127.0.0.1", server.port) as connection:
        assert servers.read_exactly(connection, 5) == b"hello"
        connection.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_download_that_was_cut_off_does_not_look_complete(pair, target):
    def send_some_and_reset(connection):
        connection.sendall(bytes(200_000))
        connection.recv(1)
        servers.reset(connection)

    proxy = pair()
    with socks.connect(proxy.socks, "127.0.0.1", target(send_some_and_reset).port) as connection:
        servers.read_exactly(connection, 200_000)
        connection.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            servers.read_all(connection)


def test_the_applications_reset_reaches_the_target(pair, target):
    server = target(servers.echo)
    proxy = pair()
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    connection.sendall(b"x")
    servers.read_exactly(connection, 1)
    servers.reset(connection)
    wait_until(lambda: server.ends == ["ECONNRESET"], 5, lambda: server.ends)


class ResetCounter:
    """A target that only counts the resets of its connections; one thread serves them all."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.open, self.resets, self.others = 0, 0, []
        self._watch = selectors.DefaultSelector()
        self._watch.register(self.listener, selectors.EVENT_READ)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stopped:
            for key, _ in self._watch.select(0.1):
                if key.fileobj is self.listener:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            connection = self.listener.accept()[0]
                            connection.setblocking(False)
                            self._watch.register(connection, selectors.EVENT_READ)
                            self.open += 1
                else:
                    self._read(key.fileobj)

    def _read(self, connection):
        try:
            data = connection.recv(4096)
            if data:
                return connection.sendall(data)
            self.others.append("FIN")
        except ConnectionResetError:
            self.resets += 1
        self._watch.unregister(connection)
        connection.close()
        self.open -= 1

    def stop(self):
        self._stopped = True
        self._thread.join()
        for key in list(self._watch.get_map().values()):
            key.fileobj.close()


def reset_many(proxy, count, how_many_carry_a_byte):
    """Connects `count` applications, resets them all, and returns in how many seconds the target has
    seen it."""
    counter = ResetCounter()
    try:
        connections = []
        for _ in range(count):
            connections.append(socks.connect(proxy.socks, "127.0.0.1", counter.port))
        for each in connections[:how_many_carry_a_byte]:
            each.sendall(b"x")
            servers.read_exactly(each, 1)
        wait_until(lambda: counter.open == count, 20, lambda: f"{counter.open} connections")
        began = time.monotonic()
        for each in connections:
            servers.reset(each)
        wait_until(lambda: counter.resets == count, 20, lambda: f"{counter.resets} resets")
        assert not counter.others
        return time.monotonic() - began
    finally:
        counter.stop()


def test_many_resets_reach_the_target_at_once(pair):
    """The server allows 1,000 at once and 33 a second of streams that were not connected; these are
    no flood, whether or not they have carried a byte."""
    count = 3000
    proxy = pair()
    with programs.more_files(2 * count + 100):
        took = reset_many(proxy, count, count // 2)
    assert took < seconds(5), f"{took:.1f} s"
    assert not proxy.client.lines("flood") and not proxy.server.lines("flood")


def test_the_applications_reset_ends_a_download(pair, target):
    server = target(servers.source)
    proxy = pair()
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    servers.read_exactly(connection, 1_000_000)
    servers.reset(connection)
    wait_until(lambda: server.ends and server.ends[0] in ("ECONNRESET", "EPIPE"), 5,
               lambda: server.ends)


def test_an_application_that_goes_away_with_bytes_unread(pair, target):
    server = target(servers.source)
    proxy = pair()
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    servers.read_exactly(connection, 100)
    connection.close()  # the kernel answers what comes now with RST
    wait_until(lambda: server.ends and server.ends[0] in ("ECONNRESET", "EPIPE"), 5,
               lambda: server.ends)


def test_a_reset_while_the_other_side_does_not_read(pair, target):
    server = target(servers.hold)
    proxy = pair()
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    connection.setblocking(False)
    try:
        while connection.send(bytes(1 << 16)):
            pass
    except BlockingIOError:
        pass
    connection.setblocking(True)
    servers.reset(connection)
    # What was sent before the reset may be dropped: that is what a RST means.
    wait_until(lambda: server.live == 0, 10, "the target's side to end")


def test_bytes_sent_together_with_the_request(pair, target):
    proxy = pair()
    port = target(servers.echo).port
    with socks.open_connection(proxy.socks) as connection:
        connection.sendall(b"\x05\x01\x00" + socks.request_bytes("127.0.0.1", port) + b"early bytes")
        assert servers.read_exactly(connection, 2) == b"\x05\x00"
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        assert servers.read_exactly(connection, 11) == b"early bytes"
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b""


def test_a_request_one_byte_at_a_time(pair, target):
    proxy = pair()
    request = b"\x05\x01\x00" + socks.request_bytes("127.0.0.1", target(servers.echo).port)
    with socks.open_connection(proxy.socks) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            connection.sendall(bytes([byte]))
        assert servers.read_exactly(connection, 2) == b"\x05\x00"
        assert socks.read_reply(connection).rep == socks.SUCCEEDED


def test_both_sides_close_at_the_same_time(pair, target):
    barrier = threading.Barrier(2)

    def close_together(connection):
        connection.recv(1)
        barrier.wait(10)

    server = target(close_together)
    proxy = pair()
    before = [each.sockets() for each in proxy.programs]
    for _ in range(20):
        connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
        connection.sendall(b"x")
        barrier.wait(seconds(10))
        connection.close()
    wait_until(lambda: [each.sockets() for each in proxy.programs] == before, 10,
               "every socket to be closed")


@pytest.mark.parametrize("side", ["application", "target"])
def test_half_closed_streams_end_at_their_timeout(pair, target, side):
    over = threading.Event()

    def finish_and_hold(connection):
        if side == "target":
            connection.shutdown(socket.SHUT_WR)
        servers.read_all(connection)
        if side == "application":
            over.wait(seconds(20))

    timeouts = {"timeouts": {"half_closed": "300ms"}}
    proxy = pair(server=timeouts, client=timeouts)
    before = [each.sockets() for each in proxy.programs]
    connection = socks.connect(proxy.socks, "127.0.0.1", target(finish_and_hold).port)
    if side == "application":
        connection.shutdown(socket.SHUT_WR)
    wait_until(lambda: [each.sockets() for each in proxy.programs] == before, 10,
               "the stream to be ended")
    over.set()
    connection.close()


def test_idle_streams_end_at_their_timeout(pair, target):
    proxy = pair(client={"timeouts": {"idle": "300ms"}})
    before = [each.sockets() for each in proxy.programs]
    connection = socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
    connection.sendall(b"x")
    servers.read_exactly(connection, 1)
    wait_until(lambda: [each.sockets() for each in proxy.programs] == before, 10,
               "the stream to be ended")
    connection.close()


@pytest.mark.parametrize("before", ["0s", "60s"])
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("key", ["idle", "half_closed"])
def test_a_reload_changes_the_timeouts_of_streams_that_run(pair, target, role, key, before):
    over = threading.Event()

    def answer_and_hold(connection):
        connection.sendall(servers.read_exactly(connection, 1))
        over.wait(seconds(20))

    proxy = pair(**{role: {"timeouts": {key: before}}})
    connection = socks.connect(proxy.socks, "127.0.0.1", target(answer_and_hold).port)
    connection.sendall(b"x")
    if key == "half_closed":
        connection.shutdown(socket.SHUT_WR)
    servers.read_exactly(connection, 1)
    program = getattr(proxy, role)
    program.reload(muxsocks.merge(program.config, {"timeouts": {key: "300ms"}}))
    with pytest.raises(ConnectionResetError):
        servers.read_all(connection, seconds(10))
    over.set()
