"""Nothing leaks, and running out of something harms only those who ask for more of it."""

import concurrent.futures
import contextlib
import random
import signal
import socket
import threading
import time

import pytest

from support import programs, servers, socks
from support.deadline import seconds, wait_until

MEBIBYTE = 1 << 20


def moody_target(connection):
    """Does what its first byte asks for: echo, send and end, send and reset, read nothing."""
    mood = connection.recv(1)
    if mood == b"e":
        return servers.echo(connection)
    if mood == b"s":
        return connection.sendall(bytes(100_000))
    if mood == b"r":
        connection.sendall(bytes(50_000))
        return servers.reset(connection)
    if mood:
        time.sleep(0.2)  # reads nothing, and goes away with bytes unread


def cancel_somewhere(proxy, port, silent_port, dice):
    """One connection that is given up in a state drawn at random."""
    connection = socks.open_connection(proxy.socks)
    try:
        state = dice.randrange(12)
        if state == 0:
            return  # connected, nothing said
        if state == 1:
            return connection.sendall(b"\x05\x01")  # in the middle of the greeting
        socks.negotiate(connection)
        if state == 2:
            return
        if state == 3:
            return connection.sendall(b"\x05\x01\x00\x01")  # in the middle of the request
        if state == 4:  # refused
            connection.sendall(socks.request_bytes("127.0.0.1", silent_port))
            return
        connection.sendall(socks.request_bytes("127.0.0.1", port))
        if state == 5:
            return  # without waiting for the reply
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        if state == 6:
            return
        connection.sendall(dice.choice([b"s", b"r"] if state >= 10 else [b"e", b"s", b"r", b"h"]))
        if state == 7:
            return
        if state == 8:
            connection.sendall(dice.randbytes(dice.randrange(1, 200_000)))
        if state == 9:
            connection.shutdown(socket.SHUT_WR)
        if state >= 10:
            connection.settimeout(seconds(5))
            connection.recv(dice.randrange(1, 100_000))
    except OSError:
        pass  # the target's reset, or the proxy's
    finally:
        if dice.random() < 0.5:
            servers.reset(connection)
        connection.close()


def cancel_many(proxy, port, silent_port, count, seed):
    def work(number):
        dice = random.Random(seed * 1000 + number)
        for _ in range(count // 20):
            cancel_somewhere(proxy, port, silent_port, dice)

    with concurrent.futures.ThreadPoolExecutor(20) as workers:
        list(workers.map(work, range(20)))


@pytest.mark.slow
def test_a_thousand_connections_cancelled_in_random_states(pair, target):
    server = target(moody_target)
    silent_port = programs.free_port()
    proxy = pair()
    sockets = [each.sockets() for each in proxy.programs]
    cancel_many(proxy, server.port, silent_port, 200, seed=1)  # what is allocated once is allocated

    def state():
        return [each.sockets() for each in proxy.programs], server.live

    wait_until(lambda: state() == (sockets, 0), 20, lambda: f"{sockets} sockets, not {state()}")
    memory = [each.resident_bytes() for each in proxy.programs]
    cancel_many(proxy, server.port, silent_port, 1000, seed=2)
    wait_until(lambda: state() == (sockets, 0), 20, lambda: f"{sockets} sockets again, not {state()}")
    for each in proxy.programs:
        found = each.statistics()
        assert (found["streams"], found["links"]) == (0, 1), found
        assert found["opened"] > 600 and found["held"] <= 128 * 1024, found
    grown = [each.resident_bytes() - before for each, before in zip(proxy.programs, memory)]
    if not programs.sanitizer():
        assert max(grown) < 4 * MEBIBYTE, grown


def test_idle_streams_hold_little_memory(pair, target):
    """The exact number is the benchmark's; here a leak of buffers would show."""
    if programs.sanitizer():
        pytest.skip("sanitizers need memory of their own")
    server = target(servers.echo)
    proxy = pair()

    def open_one():
        connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
        connection.sendall(bytes(16384))
        servers.read_exactly(connection, 16384)
        return connection

    connections = [open_one() for _ in range(20)]
    before = [each.resident_bytes() for each in proxy.programs]
    connections += [open_one() for _ in range(300)]
    grown = [(each.resident_bytes() - start) / 300
             for each, start in zip(proxy.programs, before)]
    for connection in connections:
        connection.close()
    assert max(grown) < 16_000, grown


def test_an_idle_program_gives_its_buffers_back(pair, target):
    """With the connections that filled them still open."""
    if programs.sanitizer():
        pytest.skip("sanitizers need memory of their own")
    server = target(servers.echo)
    proxy = pair()
    connections = [socks.connect(proxy.socks, "127.0.0.1", server.port) for _ in range(8)]

    def transfer(connection):
        writer = threading.Thread(target=connection.sendall, args=(bytes(8 * MEBIBYTE),))
        writer.start()
        servers.read_exactly(connection, 8 * MEBIBYTE)
        writer.join()

    with concurrent.futures.ThreadPoolExecutor(8) as workers:
        list(workers.map(transfer, connections))
    busy = [each.resident_bytes() for each in proxy.programs]
    wait_until(lambda: all(each.resident_bytes() < before - MEBIBYTE // 2
                           for each, before in zip(proxy.programs, busy)), 10,
               lambda: f"{busy}: {[each.resident_bytes() for each in proxy.programs]}")
    for connection in connections:  # and takes them again
        transfer(connection)
        connection.close()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_memory_goes_back_soon_after_it_was_needed(pair, target, busy):
    """What four large downloads held that nobody read, also while another stream goes on."""
    if programs.sanitizer():
        pytest.skip("sanitizers need memory of their own")
    source, echo = target(servers.source), target(servers.echo)
    proxy = pair(relay=["delay 20ms"])  # windows grow with the round trip
    talk = socks.connect(proxy.socks, "127.0.0.1", echo.port)
    before = proxy.client.resident_bytes()
    downloads = [socks.connect(proxy.socks, "127.0.0.1", source.port) for _ in range(4)]
    for each in downloads:
        # Read for a while, so that the windows grow; then no more.
        count = 0
        while count < 48 * MEBIBYTE:
            count += len(each.recv(MEBIBYTE))
    wait_until(lambda: proxy.client.statistics()["held"] > 12 * MEBIBYTE, 20,
               lambda: f"{proxy.client.statistics()} to be held")
    time.sleep(5)  # the program has been idle, and has given back what it could then
    full = proxy.client.resident_bytes()
    for each in downloads:
        servers.reset(each)

    def small():
        if busy:
            talk.sendall(b"x")
            servers.read_exactly(talk, 1)
        return proxy.client.resident_bytes() < before + (full - before) // 4

    wait_until(small, 8, lambda: f"{full} to come back to about {before}, and not "
                                 f"{proxy.client.resident_bytes()}")
    talk.close()


def fill_up(proxy, port, want):
    """Opens connections until one is not served within half a second; at most `want`."""
    opened = []
    for _ in range(want):
        connection = socks.open_connection(proxy.socks)
        opened.append(connection)
        connection.settimeout(seconds(0.5))
        try:
            connection.sendall(b"\x05\x01\x00" + socks.request_bytes("127.0.0.1", port))
            if len(connection.recv(2)) < 2 or connection.recv(10)[1:2] != b"\x00":
                break
        except (TimeoutError, ConnectionError):
            break
    return opened


def test_a_client_without_descriptors_neither_spins_nor_dies(new_pair, target):
    server = target(servers.echo)
    proxy = new_pair()
    proxy.start_server()
    proxy.start_client(prefix=["prlimit", "--nofile=40:40"])
    talk = socks.connect(proxy.socks, "127.0.0.1", server.port)
    opened = fill_up(proxy, server.port, 60)
    assert len(opened) < 60
    more = [socks.open_connection(proxy.socks) for _ in range(20)]  # in the kernel's backlog
    cpu, began = proxy.client.cpu_seconds(), time.monotonic()
    while time.monotonic() - began < 1:
        talk.sendall(b"x")
        servers.read_exactly(talk, 1)
        time.sleep(0.01)
    assert proxy.client.cpu_seconds() - cpu < seconds(0.4)
    for connection in opened + more:
        connection.close()
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED
    talk.close()


def test_a_client_warns_once_that_its_files_do_not_carry_the_streams(new_pair):
    """As many as the server announces, on each link."""
    proxy = new_pair(server={"limits": {"streams": 500}}, client={"sessions": 2}, relay=[])
    proxy.start_server()
    proxy.start_client(prefix=["prlimit", "--nofile=1127:1127"])
    proxy.wait_for_link(2)
    proxy.client.wait_for_log("may open 1127 files, but 1000 streams at once need 1128")
    proxy.relay.do("cut")
    proxy.client.wait_for_log("link to .* is back", count=2)
    assert len(proxy.client.lines("may open")) == 1
    proxy.client.stop()
    proxy.start_client(prefix=["prlimit", "--nofile=1128:1128"])
    proxy.wait_for_link(2)
    assert not proxy.client.lines("may open")


@pytest.mark.slow
@pytest.mark.skipif("undefined" in programs.sanitizer(),
                    reason="UBSan asks with pipe() whether an object's memory can be read, which "
                           "fails without descriptors and looks like a broken object")
def test_a_server_without_descriptors_says_so(new_pair, target):
    server = target(servers.echo)
    proxy = new_pair()
    proxy.start_server(prefix=["prlimit", "--nofile=40:40"])
    proxy.start_client()
    talk = socks.connect(proxy.socks, "127.0.0.1", server.port)
    reps, opened = [], []
    for _ in range(60):
        connection, reply = socks.ask(proxy.socks, "127.0.0.1", server.port)
        reps.append(reply.rep)
        opened.append(connection)
    assert set(reps) == {socks.SUCCEEDED, socks.GENERAL_FAILURE}, reps
    strangers = [socket.create_connection(proxy.server_endpoint) for _ in range(10)]
    cpu, began = proxy.server.cpu_seconds(), time.monotonic()
    while time.monotonic() - began < 1:
        talk.sendall(b"x")
        servers.read_exactly(talk, 1)
        time.sleep(0.01)
    assert proxy.server.cpu_seconds() - cpu < seconds(0.4)
    for connection in opened + strangers:
        connection.close()
    wait_until(lambda: socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED, 10,
               "the server to have descriptors again")
    talk.close()


def test_more_streams_than_allowed(pair, target):
    """The client queues above max_streams and gives up after timeouts.wait."""
    server = target(servers.echo)
    proxy = pair(server={"limits": {"streams": 10}}, client={"timeouts": {"wait": "500ms"}})
    connections = [socks.connect(proxy.socks, "127.0.0.1", server.port) for _ in range(10)]
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.GENERAL_FAILURE
    waiting = socks.open_connection(proxy.socks)
    socks.negotiate(waiting)
    waiting.sendall(socks.request_bytes("127.0.0.1", server.port))
    connections.pop().close()
    assert socks.read_reply(waiting).rep == socks.SUCCEEDED
    for connection in [*connections, waiting]:
        connection.close()


def test_streams_of_a_user(pair, target):
    server = target(servers.echo)
    users = [{"name": "alice", "token": "correct-horse-battery-staple-0123456789",
              "limits": {"streams": 5}}]
    proxy = pair(server={"users": users}, client={"timeouts": {"wait": "300ms"}})
    connections = [socks.connect(proxy.socks, "127.0.0.1", server.port) for _ in range(5)]
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.GENERAL_FAILURE
    for connection in connections:
        connection.close()
    wait_until(lambda: socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED, 5,
               "a stream to be free")


def test_a_burst_above_a_users_streams(new_pair, target):
    """What waits for the link goes out at once. A client knows only what any user may have; those above it are
    refused, and the session goes on."""
    server = target(servers.hold)
    users = [{"name": "alice", "token": "correct-horse-battery-staple-0123456789",
              "limits": {"streams": 100}},
             {"name": "bob", "token": "wrong-horse-battery-staple-0123456789"}]
    proxy = new_pair(server={"users": users}, client={"timeouts": {"wait": "30s"}})
    proxy.start_client(wait_for_link=False)
    connections = []
    with programs.more_files(2000):
        for _ in range(1500):
            connections.append(socks.open_connection(proxy.socks))
            socks.negotiate(connections[-1])
            connections[-1].sendall(socks.request_bytes("127.0.0.1", server.port))
        proxy.start_server()
        reps = [socks.read_reply(each).rep for each in connections]
        assert (reps.count(socks.SUCCEEDED), reps.count(socks.GENERAL_FAILURE)) == (100, 1400)
        for each in connections:
            each.close()
        wait_until(lambda: socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED,
                   5, "a stream to be free")
    assert len(proxy.client.lines("link to .* is up")) == 1, proxy.client.last_words()


class Hoard:
    """Streams whose bytes nobody takes, until they hold `most` of `memory.total` (8 MiB) in the
    program that receives them, and have not moved for 5 seconds."""

    def __init__(self, program, open_one, fill, most=7.5 * MEBIBYTE):
        self.connections = [open_one() for _ in range(24)]
        fill(self.connections)
        while program.statistics()["held"] < most:
            assert len(self.connections) < 60, program.statistics()
            self.connections.append(open_one())
            fill(self.connections[-1:])
        began = time.monotonic()
        while time.monotonic() - began < 5.5:
            time.sleep(0.1)


def slow_sink(connection):
    """Reads 1.3 MB/s at most."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    count = 0
    while data := connection.recv(65536):
        count += len(data)
        time.sleep(0.05)
    connection.sendall(b"%d" % count)


SHORT_OF_MEMORY = {"memory": {"total": "8MiB", "stream_window": "256KiB"}, "threads": 2}


@pytest.mark.slow
def test_who_hoards_the_servers_memory_pays_for_it(pair, new_pair, target):
    """And nobody else does: uploads of another user that go on slowly are not touched."""
    idle, slow = target(servers.hold), target(slow_sink)
    idle.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bob = {"name": "bob", "token": "another-token-of-sufficient-length-0123"}
    alice = {"name": "alice", "token": "correct-horse-battery-staple-0123456789"}
    first = pair(server={**SHORT_OF_MEMORY, "users": [alice, bob]})
    second = new_pair(client={"server": first.server.address,
                              "auth": {"user": bob["name"], "token": bob["token"]}})
    second.start_client()

    def fill(uploads):
        for each in uploads:
            each.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                while True:
                    each.send(bytes(1 << 16))

    hoard = Hoard(first.server,
                  lambda: socks.connect(first.socks, "127.0.0.1", idle.port), fill,
                  most=6.6 * MEBIBYTE)  # A user may take 7, and a stream holds a quarter.
    assert idle.ends == []

    size = 8 * MEBIBYTE  # More than the kernel's buffers of a socket take.

    def upload(_):
        connection = socks.connect(second.socks, "127.0.0.1", slow.port)
        connection.settimeout(seconds(60))
        connection.sendall(bytes(size))
        connection.shutdown(socket.SHUT_WR)
        return servers.read_all(connection, seconds(60))

    with concurrent.futures.ThreadPoolExecutor(8) as workers:
        assert list(workers.map(upload, range(8))) == [b"%d" % size] * 8
    wait_until(lambda: idle.ends, 5, "the hoarder to lose a stream")
    assert set(idle.ends) == {"ECONNRESET"} and len(idle.ends) < len(hoard.connections)
    assert first.server.statistics()["links"] == 2
    for each in hoard.connections:
        servers.reset(each)


@pytest.mark.slow
def test_who_hoards_the_clients_memory_pays_for_it(pair, target):
    """Downloads on another link that are read slowly are not touched."""
    endless = target(servers.source)
    size = 8 * MEBIBYTE  # More than the kernel's buffers of a socket take.
    file = target(lambda connection: connection.sendall(bytes(size)))
    proxy = pair(client={**SHORT_OF_MEMORY, "sessions": 2})

    def connect_with_little_room(port):
        connection = socks.open_connection(proxy.socks)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", port))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        return connection

    hoard = Hoard(proxy.client, lambda: connect_with_little_room(endless.port),
                  lambda _: time.sleep(0.3))
    # New streams go to new links, while the old ones keep their streams.
    proxy.client.reload({**proxy.client.config, "keepalive": {"interval": "14s"}})
    proxy.wait_for_link(4)

    def download(_):
        connection = connect_with_little_room(file.port)
        count = 0
        while data := connection.recv(65536):
            count += len(data)
            time.sleep(0.05)
        return count

    with concurrent.futures.ThreadPoolExecutor(5) as workers:
        assert list(workers.map(download, range(5))) == [size] * 5
    wait_until(lambda: len(endless.ends) > 0, 5, "the hoarder to lose a stream")
    assert len(endless.ends) < len(hoard.connections)
    for each in hoard.connections:
        servers.reset(each)


def test_dials_of_all_threads_together(pair, new_pair, target):
    """The place that one thread gives back goes to the dial that waits in the other."""
    server = target(servers.echo)
    first = pair(server={"limits": {"dials": 1}, "threads": 2})
    second = new_pair(client={"server": first.server.address})  # goes to the thread with less to do
    second.start_client()
    with servers.unanswering() as port:
        blocking = socks.open_connection(first.socks)
        socks.negotiate(blocking)
        blocking.sendall(socks.request_bytes("127.0.0.1", port))

        def dialling():
            first.server.send(signal.SIGUSR1)
            return first.server.lines("1 dials under way")

        wait_until(dialling, 5, first.server.last_words)
        waiting = socks.open_connection(second.socks)
        socks.negotiate(waiting)
        waiting.sendall(socks.request_bytes("127.0.0.1", server.port))
        waiting.settimeout(0.5)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        assert server.accepted == 0
        blocking.close()
        assert socks.read_reply(waiting).rep == socks.SUCCEEDED
        waiting.close()


def test_sleeping_programs_use_no_processor(pair):
    proxy = pair(client={"sessions": 2})
    before = [each.cpu_seconds() for each in proxy.programs]
    began = time.monotonic()
    while time.monotonic() - began < 1:
        time.sleep(0.1)
    assert max(each.cpu_seconds() - start
               for each, start in zip(proxy.programs, before)) <= seconds(0.03)


def test_stop_leaves_no_process_and_no_port(pair):
    proxy = pair()
    proxy.stop()
    assert [each.process.poll() for each in proxy.programs] == [0, 0]
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(proxy.socks)
