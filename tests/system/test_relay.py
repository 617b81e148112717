"""The relay itself: other tests can only be trusted if it does what it is told."""

import hashlib
import random
import socket
import threading
import time

import pytest

from support import servers
from support.deadline import seconds, wait_until


def connect(relay):
    return socket.create_connection((relay.host, relay.port), timeout=20)


def exchange(relay, data):
    """Sends `data` through an echo and returns what came back."""
    with connect(relay) as connection:
        sender = threading.Thread(
            target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        echoed = servers.read_all(connection)
        sender.join()
    return echoed


@pytest.mark.parametrize("commands", [
    (), ("delay 20ms",), ("rate 200mbit", "delay 5ms"), ("chunk 1-3000",), ("rate 80mbit", "queue 20000"),
], ids=lambda each: ", ".join(each) or "plain")
def test_bytes_arrive_as_they_were_sent(target, relay_to, commands):
    relay = relay_to(target(servers.echo).endpoint, *commands)
    data = random.Random(1).randbytes(3_000_000)
    assert hashlib.sha256(exchange(relay, data)).digest() == hashlib.sha256(data).digest()
    wait_until(lambda: relay.stats()["live"] == 0, 5, relay.stats)


def test_delay_is_added_to_each_way(target, relay_to):
    relay = relay_to(target(servers.echo).endpoint, "delay up 30ms", "delay down 70ms")
    with connect(relay) as connection:
        connection.sendall(b"x")
        servers.read_exactly(connection, 1)  # the first byte also waits for the TCP handshake
        times = []
        for _ in range(5):
            began = time.monotonic()
            connection.sendall(b"x")
            servers.read_exactly(connection, 1)
            times.append(time.monotonic() - began)
    assert 0.100 <= min(times) < 0.130 + seconds(0.1)


def test_rate_is_kept(target, relay_to):
    relay = relay_to(target(servers.source).endpoint, "rate down 80mbit", "queue 64KiB")
    with connect(relay) as connection:
        servers.read_exactly(connection, 1_000_000)
        began = time.monotonic()
        servers.read_exactly(connection, 5_000_000)
        took = time.monotonic() - began
    assert 0.45 < took < seconds(1)  # 10 MB a second


def test_a_full_queue_holds_the_sender_back(target, relay_to):
    relay = relay_to(target(servers.source).endpoint, "rate down 8mbit", "queue 100000", "delay 10ms",
                     options=("--socket-buffer", "65536"))
    with connect(relay) as connection:
        servers.read_exactly(connection, 100_000)
        assert relay.stats()["held"] < 500_000


@pytest.mark.parametrize("way, style", [("up", "rst"), ("up", "fin"), ("down", "rst"), ("down", "fin")])
def test_cut_after_a_byte_count(target, relay_to, way, style):
    received = []

    def count(connection):
        try:
            while data := connection.recv(100_000):
                received.append(len(data))
                connection.sendall(data)
        finally:
            received.append("end")

    relay = relay_to(target(count).endpoint, f"cut-after {way} 123457 {style}")
    with connect(relay) as connection:
        echoed = 0
        try:
            for _ in range(100):
                connection.sendall(bytes(10_000))
                while echoed < sum(n for n in received if n != "end"):
                    data = connection.recv(100_000)
                    if not data:
                        break
                    echoed += len(data)
        except ConnectionError:
            pass
        wait_until(lambda: "end" in received, 5, "the end to reach the target")
    passed = sum(n for n in received if n != "end") if way == "up" else echoed
    assert passed <= 123_457
    if style == "fin" and way == "up":
        assert passed == 123_457
    assert relay.stats()[way] == 123_457
    assert relay.stats()["cuts"] == 1


def test_a_cut_is_a_reset_or_a_clean_end(target, relay_to):
    relay = relay_to(target(servers.hold).endpoint)
    for style in ("rst", "fin"):
        with connect(relay) as connection:
            wait_until(lambda: relay.stats()["live"] == 1, 5, relay.stats)
            relay.do(f"cut {style}")
            connection.settimeout(5)
            if style == "fin":
                assert connection.recv(1) == b""
            else:
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
        wait_until(lambda: relay.stats()["live"] == 0, 5, relay.stats)


def test_ends_of_either_side_pass_through(target, relay_to):
    server = target(servers.greet_and(servers.reset))
    relay = relay_to(server.endpoint, "delay 5ms")
    with connect(relay) as connection:
        assert servers.read_exactly(connection, 5) == b"hello"
        connection.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    holder = target(lambda connection: connection.recv(10))
    relay.do(f"target {holder.address}")
    connection = connect(relay)
    wait_until(lambda: holder.accepted == 1, 5, "the target to be dialled")
    servers.reset(connection)
    wait_until(lambda: holder.ends == ["ECONNRESET"], 5, lambda: holder.ends)


def test_a_cut_of_one_side_leaves_the_other_half_open(target, relay_to):
    server = target(servers.echo)
    relay = relay_to(server.endpoint)
    with connect(relay) as connection:
        connection.sendall(b"x")
        servers.read_exactly(connection, 1)
        relay.do("cut rst client")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert server.live == 1
    relay.do("cut")
    wait_until(lambda: server.live == 0, 5, "the server's side to end")


def test_swallowed_bytes_leave_no_trace(target, relay_to):
    server = target(servers.echo)
    relay = relay_to(server.endpoint)
    with connect(relay) as connection:
        connection.sendall(b"x")
        servers.read_exactly(connection, 1)
        relay.do("swallow down on")
        connection.sendall(b"y")
        wait_until(lambda: relay.stats()["swallowed_down"] == 1, 5, relay.stats)
        assert relay.stats()["up"] == 2
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert exchange(relay, b"a new connection works") == b"a new connection works"
    relay.do("swallow on new")
    with connect(relay) as connection:
        connection.sendall(b"z")
        wait_until(lambda: relay.stats()["swallowed_up"] == 1, 5, relay.stats)
    assert server.accepted == 2
    relay.do("swallow off")
    assert exchange(relay, b"again") == b"again"


def test_a_swallowed_end_is_not_seen_on_the_other_side(target, relay_to):
    server = target(servers.echo)
    relay = relay_to(server.endpoint)
    with connect(relay) as connection:
        connection.sendall(b"x")
        servers.read_exactly(connection, 1)
        relay.do("swallow on")
    with connect(relay) as connection:  # a round trip later the first end would have arrived
        connection.sendall(b"x")
        servers.read_exactly(connection, 1)
        assert server.live == 2


def test_a_stall_holds_and_loses_nothing(target, relay_to):
    relay = relay_to(target(servers.echo).endpoint)
    with connect(relay) as connection:
        connection.sendall(b"a")
        servers.read_exactly(connection, 1)
        relay.do("stall up on")
        connection.sendall(b"b")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        relay.do("stall 20ms")
        assert servers.read_exactly(connection, 1) == b"b"


def test_refusing_and_accepting_again(target, relay_to):
    relay = relay_to(target(servers.echo).endpoint)
    relay.do("refuse on")
    with pytest.raises(ConnectionRefusedError):
        connect(relay)
    relay.do("refuse off")
    assert exchange(relay, b"back") == b"back"


def test_the_source_address_changes(target, relay_to):
    peers = []
    server = target(lambda connection: peers.append(connection.getpeername()[0]))
    relay = relay_to(server.endpoint, "source 127.0.0.7,127.0.0.8")
    for _ in range(2):
        exchange_end = connect(relay)
        servers.read_all(exchange_end)
        exchange_end.close()
    relay.do("source random")
    for _ in range(3):
        with connect(relay) as connection:
            servers.read_all(connection)
    assert peers[:2] == ["127.0.0.7", "127.0.0.8"]
    assert len(set(peers[2:])) == 3


def test_planned_commands_happen_and_can_be_cancelled(target, relay_to):
    relay = relay_to(target(servers.hold).endpoint, "every 10ms-20ms cut")
    with connect(relay) as connection:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    relay.do("cancel")
    with connect(relay) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        relay.do("at 10ms cut fin")
        connection.settimeout(5)
        assert connection.recv(1) == b""


def test_chaos_follows_the_seed(target, relay_to):
    def actions(seed):
        relay = relay_to(target(servers.echo).endpoint, "chaos 2ms-4ms", seed=seed)
        lines = lambda: [line for line in relay.log().splitlines() if "off" not in line]
        wait_until(lambda: len(lines()) >= 20, 5, relay.log)
        relay.stop()
        return lines()[:20]

    first = actions(7)
    assert actions(7) == first
    assert actions(8) != first


@pytest.mark.parametrize("command", [
    "dealy 5ms", "delay", "delay 5", "delay sideways 5ms", "rate fast", "cut gently", "every 0 cut",
    "every 5ms", "chunk 9-3", "target nowhere", "source ::gg", "swallow", "cut-after up", "chaos 5ms tea",
])
def test_wrong_commands_are_refused(target, relay_to, command):
    relay = relay_to(("127.0.0.1", 9))
    with pytest.raises(AssertionError, match="error: "):
        relay.do(command)


def test_a_target_that_refuses_resets_the_client(relay_to):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        relay = relay_to(unused.getsockname())
        # The reset may be there before connect() has returned.
        with pytest.raises(ConnectionResetError), connect(relay) as connection:
            connection.recv(1)
    assert relay.stats()["target_failures"] == 1


def test_many_connections_at_once(target, relay_to):
    server = target(servers.echo)
    relay = relay_to(server.endpoint)
    relay.stats()  # the control connection is there
    before = relay.sockets()
    connections = [connect(relay) for _ in range(300)]
    for index, connection in enumerate(connections):
        connection.sendall(b"%04d" % index)
    for index, connection in enumerate(connections):
        assert servers.read_exactly(connection, 4) == b"%04d" % index
    for connection in connections:
        connection.close()
    wait_until(lambda: relay.stats()["live"] == 0, 10, relay.stats)
    assert relay.sockets() == before
