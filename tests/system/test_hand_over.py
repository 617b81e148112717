"""A new process takes the place of the one that serves: connections go on in it, under load.

MUXSOCKS_LONG=1 restarts a hundred times.
"""

import contextlib
import getpass
import hashlib
import json
import os
import queue
import random
import resource
import select
import signal
import socket
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import keyboard, servers, socks, udp
from support.deadline import seconds, wait_until
from support.hand_over import HAS_PLACE, Load
from support.muxsocks import listening
from support.programs import binary, free_port, run

LONG = bool(os.environ.get("MUXSOCKS_LONG"))
RESTARTS = 100 if LONG else 10
TRANSFERS = 200 if LONG else 20
KILLS = 125 if LONG else 10
STREAMS = 9_900 if LONG else 300


@pytest.fixture(params=["server", "client"])
def serving(request, new_place):
    """`serving(**settings)`: the place of a pair's server, or client."""
    return lambda **settings: new_place(request.param, **settings)


@pytest.fixture
def serving_server(new_place):
    return lambda **settings: new_place("server", **settings)


def measured():
    """What the programs take, and not what else the machine has to do."""
    return keyboard.real_time() if LONG else ()


def test_connections_go_on_in_the_next_process(serving, target):
    place = serving(prefix=measured())
    load = Load(place.pair, target, transfers=TRANSFERS, prefix=place.prefix)
    for _ in range(RESTARTS):
        place.take_over()
        before = load.requests
        wait_until(lambda: load.faults or load.requests > before + 3, 20, "requests to go on")
    load.end()
    print(f"{RESTARTS} restarts of the {place.role}, {load.requests} requests, {load.lost} of {load.datagrams} "
          f"datagrams lost, {len(load.waits)} keystrokes, the longest wait of one {max(load.waits) * 1000:.0f} ms")


@pytest.mark.slow
def test_a_session_of_ssh_goes_on(serving, ssh_server):
    port, options = ssh_server
    place = serving()
    command = ["ssh", *options, "-p", str(port), "-o",
               f"ProxyCommand=nc -X 5 -x {place.pair.client.address} %h %p",
               f"{getpass.getuser()}@127.0.0.1", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        for number in range(RESTARTS):
            session.stdin.write(b"%d\n" % number)
            session.stdin.flush()
            place.take_over()
            assert session.stdout.readline() == b"%d\n" % number
        session.stdin.close()
        assert session.stdout.read() == b""
        assert session.wait(seconds(20)) == 0


def hold_accepted(listener, held):
    with contextlib.suppress(OSError):
        while True:
            held.append(listener.accept()[0])


def test_many_idle_streams_go_along(serving):
    limits = {"limits": {"streams": 2 * STREAMS, "user": {"streams": 2 * STREAMS,
                                                          "files": 2 * STREAMS}}}
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * STREAMS + 100:
        pytest.skip("this process may not open as many files")
    place = serving(server=limits, prefix=measured())
    held = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, \
            contextlib.ExitStack() as all_of_them:
        threading.Thread(target=hold_accepted, args=(listener, held), daemon=True).start()
        idle = [all_of_them.enter_context(
            socks.connect(place.pair.socks, "127.0.0.1", listener.getsockname()[1]))
            for _ in range(STREAMS)]
        typing = keyboard.Keyboard(place.pair.socks, place.prefix)
        for _ in range(5):
            place.take_over()
        waits = typing.stop()
        wait_until(lambda: len(held) == STREAMS, 10, "all to be accepted")
        for number in random.sample(range(STREAMS), 50):
            idle[number].sendall(b"x%d" % number)
        heard = set()
        wait_until(lambda: len(heard.update(each.recv(10) for each in
                                            select_readable(held)) or heard) == 50, 20, "all to come")
        for each in held:
            each.close()
        listener.shutdown(socket.SHUT_RDWR)
    print(f"{STREAMS} idle streams, 5 restarts of the {place.role}, the longest wait of a keystroke "
          f"{max(waits) * 1000:.0f} ms")


def select_readable(sockets):
    looks = select.poll()
    for each in sockets:
        looks.register(each, select.POLLIN)
    ready = {number for number, _ in looks.poll(100)}
    return [each for each in sockets if each.fileno() in ready]


def test_a_dial_that_is_under_way_goes_on(serving, target):
    place = serving()
    pair = place.pair
    with servers.unanswering() as silent:
        connection = socks.open_connection(pair.socks)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", silent))
        place.take_over()
        assert not select.select([connection], [], [], 0.3)[0], "it was answered, or reset"
        with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as other:
            other.sendall(b"x")
            assert servers.read_exactly(other, 1) == b"x"
        connection.close()


@pytest.mark.parametrize("filtered", ["any", "contacted"])
def test_udp_associations_go_along(serving, filtered):
    """Both sockets, so that addresses and ports stay; and what waited in the kernel."""
    place = serving(server={"udp": {"filter": filtered}})
    seen = []
    answering = udp.Target(lambda payload, sender: seen.append(sender) or payload)
    strange = udp.Target(host="127.0.0.2")
    with udp.Association(place.pair.socks) as association, udp.Association(place.pair.socks) as silent:
        for number in range(3):
            text = b"before %d" % number
            assert association.ask(text, answering.host, answering.port)[1] == text
            place.take_over()
            # From the outside first: to the port that is known there.
            answering.socket.sendto(b"by itself", seen[0])
            assert association.receive()[1] == b"by itself"
        assert len(set(seen)) == 1
        strange.socket.sendto(b"nobody asked", seen[0])
        if filtered == "contacted":
            assert association.quiet()
        else:
            assert association.receive()[1] == b"nobody asked"
        assert silent.ask(b"late", answering.host, answering.port)[1] == b"late"
        association.control.close()
        wait_until(lambda: place.process.statistics()["streams"] == 1, 20, "its end")
    wait_until(lambda: place.process.statistics()["streams"] == 0, 20, "the other's end")
    answering.stop()
    strange.stop()


def test_the_status_listener_goes_to_the_next_process(serving, runtime):
    listen = {"status": {"listen": f"unix:{runtime / 'status.sock'}"}}
    place = serving(server=listen, client={"status": {"listen": f"unix:{runtime / 'other.sock'}"}})

    def started():
        shown = run([binary(f"muxsocks-{place.role}"), "status", "--json", "-c",
                     place.process.config_path])
        return shown.returncode == 0 and json.loads(shown.stdout)["started"]

    before = started()
    assert before
    place.take_over()
    wait_until(lambda: started() > before, seconds(15), "the status of the new process")


def test_where_nobody_serves_the_new_process_just_starts(new_pair, runtime):
    environment = {"XDG_RUNTIME_DIR": str(runtime)}
    pair = new_pair()
    pair.start_server(env=environment, arguments=["--take-over"])
    pair.server.says("no server whose place could be taken")
    pair.start_client(env=environment, arguments=["--take-over"])
    pair.client.says("no client whose place could be taken")


@pytest.mark.parametrize("found", ["in a folder", "by name"])
@pytest.mark.parametrize("role", ["server", "client"])
def test_a_process_that_stops_leaves_its_port_to_the_next_one(new_pair, runtime, target, role, found):
    """At once, and the streams with it where there is a runtime folder; without --take-over."""
    environment = {"XDG_RUNTIME_DIR": str(runtime) if found == "in a folder" else "",
                   "RUNTIME_DIRECTORY": ""}
    pair = new_pair(server={"timeouts": {"drain": "60s"}}, client={"timeouts": {"drain": "60s"}})
    pair.start_server(env=environment)
    pair.start_client(env=environment)
    old, echo = getattr(pair, role), target(servers.echo)

    def start(**options):
        if role == "server":
            return pair.start_server(env=environment, **options)
        return pair.start_client(env=environment, wait_for_link=False, **options)

    # While it serves the port is its own.
    assert start(wait=False).wait(10) != 0
    pair._started.pop()
    setattr(pair, role, old)
    with socks.connect(pair.socks, "127.0.0.1", echo.port) as connection:
        old.send(signal.SIGTERM)
        old.says("stopping: ")
        with socks.connect(pair.socks, "127.0.0.1", echo.port) as other:
            other.sendall(b"meanwhile")
            assert servers.read_exactly(other, 9, seconds(20)) == b"meanwhile"
        new = start()
        new.says(r"has the place of process \d+, %d sessions" % (found == "in a folder"))
        if found == "in a folder":
            assert old.wait(5) == 0
        connection.sendall(b"still here")
        assert servers.read_exactly(connection, 10, seconds(20)) == b"still here"
        with socks.connect(pair.socks, "127.0.0.1", echo.port) as other:
            other.sendall(b"new")
            assert servers.read_exactly(other, 3, seconds(20)) == b"new"
        assert (found == "by name") == old.running()
    assert old.wait(10) == 0
    assert len(old.lines("stopping")) == 1


def test_the_offer_is_its_users_alone(serving):
    (offer,) = serving().offers()
    assert stat.S_IMODE(offer.stat().st_mode) == 0o600


def test_a_configuration_that_is_wrong_takes_nothing(serving_server, target):
    place = serving_server()
    pair = place.pair
    with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        settings = pair.server_settings
        pair.server_settings = {**settings, "tls": {**settings["tls"], "cert": "/nowhere"}}
        old = pair.server
        new = place.start_heir()
        assert new.wait() != 0
        pair._started.remove(new)
        pair.server = old
        connection.sendall(b"still here")
        assert servers.read_exactly(connection, 10) == b"still here"


@pytest.mark.parametrize("what", [b"", b"\x00\x01", b"\x09\x01nonsense"])
def test_whoever_asks_in_another_way_gets_nothing(serving, target, what):
    place = serving()
    (offer,) = place.offers()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(str(offer))
        if what:
            asking.send(what)
    with socks.connect(place.pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        connection.sendall(b"x")
        assert servers.read_exactly(connection, 1) == b"x"


HELLO = b"\x00\x01\x00\x01\x00\x01\x00"
READY = b"\x02\x01"
TAKEN = b"\x05\x01"
SERVING = b"\x09\x01"
SESSION, ALL, YOURS, REFUSED = 3, 4, 6, 7


def ask_for_place(asking, offer, last="yours"):
    """As a new process does, up to the message of that name."""
    asking.connect(str(offer))
    asking.settimeout(seconds(10))
    asking.send(HELLO)
    if last != "hello":
        assert asking.recv(65536)[0] == 1  # The listeners.
    if last in ("session", "all", "yours"):
        asking.send(READY)
        assert asking.recv(65536)[0] == SESSION
        while last != "session" and asking.recv(65536)[0] != ALL:
            pass
    if last == "yours":
        asking.send(TAKEN)
        assert asking.recv(65536)[0] == YOURS


@pytest.mark.parametrize("last", ["hello", "listeners", "session", "all", "yours"])
def test_a_new_process_that_dies_leaves_the_old_one_serving(serving, target, last):
    place = serving()
    pair = place.pair
    (offer,) = place.offers()
    with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            ask_for_place(asking, offer, last)
        place.process.says("the hand-over has failed")
        connection.sendall(b"still here")
        assert servers.read_exactly(connection, 10) == b"still here"
        with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as other:
            other.sendall(b"x")
            assert servers.read_exactly(other, 1) == b"x"
        place.take_over()
        connection.sendall(b"and there")
        assert servers.read_exactly(connection, 9) == b"and there"


def test_a_new_process_that_says_nothing_any_more_has_no_place(serving, target):
    place = serving()
    (offer,) = place.offers()
    with socks.connect(place.pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            ask_for_place(asking, offer)
            # Within the 5 seconds of each message, and what the service manager waits for (30 s).
            place.process.says("the hand-over has failed", 8)
            with pytest.raises(BrokenPipeError):
                asking.send(SERVING)
        connection.sendall(b"still here")
        assert servers.read_exactly(connection, 10) == b"still here"


def test_an_old_process_that_goes_on_is_not_served_beside(serving, target):
    """It hears no "serving": the new one gives all back, and ends."""
    place = serving()
    pair, old = place.pair, place.process
    (offer,) = place.offers()
    with socket.create_server((old.host, 0)) as listener, \
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as offering:
        offer.unlink()
        offering.bind(str(offer))
        offering.listen()
        offering.settimeout(seconds(20))
        new = place.start_heir()
        pair._started.remove(new)
        setattr(pair, place.role, old)
        asked, _ = offering.accept()
        with asked:
            asked.settimeout(seconds(20))
            assert asked.recv(65536) == HELLO
            socket.send_fds(asked, [b"\x01\x01" + new.address.encode() + b"\n"], [listener.fileno()])
            assert asked.recv(65536) == READY
            asked.send(b"\x04\x01")
            assert asked.recv(65536) == TAKEN
            asked.shutdown(socket.SHUT_RD)
            asked.send(b"\x06\x01")
            assert new.wait(10) != 0
        assert not new.lines("has the place")
        new.says("has kept its place")
    with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        connection.sendall(b"x")
        assert servers.read_exactly(connection, 1) == b"x"


def receive(asked):
    """A message of one packet: its kind, its bytes, and its descriptors."""
    data, descriptors, _, _ = socket.recv_fds(asked, 65536, 253)
    return data[0], data[2:], list(descriptors)


def with_strange_owners(state):
    """The state of a session (protocol/session/state.hpp) whose streams' owners nobody knows."""
    made, at = state[:19], 19
    while True:
        size = int.from_bytes(state[at:at + 4], "big")
        kind, rest = state[at + 4], state[at + 5:at + 4 + size]
        at += 4 + size
        if kind == 255:
            return made + (33).to_bytes(4, "big") + b"\xff" + hashlib.sha256(made).digest()
        if kind == 20:
            rest = b"\x63" + rest[1:]
        made += size.to_bytes(4, "big") + bytes([kind]) + rest


def test_what_cannot_go_on_is_reset(serving, target):
    """Streams whose state the new process cannot use, once they are its own."""
    place = serving()
    pair, old = place.pair, place.process
    (offer,) = place.offers()
    ends = queue.Queue()

    def note_end(connection):
        connection.sendall(b"here")
        try:
            ends.put(connection.recv(100))
        except OSError as error:
            ends.put(error)

    with socks.connect(pair.socks, "127.0.0.1", target(note_end).port) as connection:
        assert servers.read_exactly(connection, 4, seconds(20)) == b"here"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.connect(str(offer))
            asking.settimeout(seconds(10))
            asking.send(HELLO)
            listening_on = receive(asking)
            asking.send(READY)
            pieces = []
            while not pieces or pieces[-1][0] != ALL:
                pieces.append(receive(asking))
            # Whoever gives them is gone; its sockets are here.
            old.process.kill()
            old.process.wait()
            pair._started.remove(old)
        offer.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as offering:
            offering.bind(str(offer))
            offering.listen()
            offering.settimeout(seconds(20))
            new = place.start_heir()
            asked, _ = offering.accept()
            with asked:
                asked.settimeout(seconds(20))
                assert asked.recv(65536) == HELLO
                socket.send_fds(asked, [b"\x01\x01" + listening_on[1]], listening_on[2])
                assert asked.recv(65536) == READY
                for kind, data, descriptors in pieces:
                    if kind == SESSION:
                        data = with_strange_owners(data)
                    socket.send_fds(asked, [bytes([kind, 1]) + data], descriptors)
                assert asked.recv(65536) == TAKEN
                assert ends.empty()
                asked.send(bytes([YOURS, 1]))
                assert asked.recv(65536) == SERVING
        for descriptor in sum((each[2] for each in pieces), listening_on[2]):
            os.close(descriptor)
        new.says(HAS_PLACE)
        assert isinstance(ends.get(timeout=seconds(20)), ConnectionResetError)
        connection.settimeout(seconds(20))
        with pytest.raises(ConnectionResetError):
            connection.recv(10)


def test_a_process_of_another_format_is_told_so(serving):
    place = serving()
    (offer,) = place.offers()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(str(offer))
        asking.send(b"\x00\x01\x00\x09\x00\x09")
        asking.settimeout(seconds(5))
        answer = asking.recv(65536)
        assert answer[0] == REFUSED and b"format" in answer
    place.process.says("does not know the format of its sessions: this one goes on")


@pytest.mark.parametrize("victim", ["old", "new"])
def test_whichever_process_is_killed_each_stream_is_whole_or_reset(serving, target, victim):
    seed = int(os.environ.get("MUXSOCKS_SEED", random.randrange(1 << 32)))
    print(f"MUXSOCKS_SEED={seed}")
    chance = random.Random(seed)
    place = serving()
    pair = place.pair
    echo = target(servers.echo)
    went_on = 0

    def connect():
        return socks.connect(pair.socks, "127.0.0.1", echo.port, timeout=seconds(30))

    connection = connect()
    for _ in range(KILLS):
        old = place.process
        # What a reset takes along may be cut off anywhere; what goes on may not.
        sent = chance.randbytes(chance.randrange(1, 300_000))
        failures = []
        sender = threading.Thread(target=send_or_fail, args=(connection, sent, failures))
        sender.start()
        new = place.start_heir()
        if chance.random() < 0.8:
            old.says("takes the place of this one", 20)
        time.sleep(0.03 * chance.random())  # At any moment.
        killed, other = (old, new) if victim == "old" else (new, old)
        killed.process.kill()
        killed.process.wait()
        pair._started.remove(killed)
        wait_until(lambda: is_settled(other, victim), 20, other.last_words)
        setattr(pair, place.role, other)
        if not other.running():
            pair._started.remove(other)
            place.start()
        try:
            assert servers.read_exactly(connection, len(sent), seconds(30)) == sent
            went_on += 1
            sender.join()
        except (ConnectionError, EOFError) as error:
            sender.join()
            # Who sends may have been told of the reset, and then nobody else is. How an
            # application's connection ends whose client was killed is the kernel's choice.
            assert place.role == "client" or failures or not isinstance(error, EOFError), \
                "an end that is no reset"
            connection.close()
            connection = connect()
        place.wait_for_offer()
    connection.close()
    print(f"the {victim} {place.role} killed {KILLS} times: the stream went on {went_on} times")
    assert went_on > 0


def send_or_fail(connection, data, failures):
    try:
        connection.sendall(data)
    except OSError as failure:
        failures.append(failure)


def is_settled(other, victim):
    """Whether the process that was not killed has ended, or serves."""
    if not other.running():
        return True
    if victim == "old":
        return listening(other.pid, other.port) and other.lines("listening for")
    if other.lines("this one ends"):
        return False
    return not other.lines("takes the place") or other.lines("the hand-over has failed")


def test_sockets_of_all_kinds_go_along(serving_server, runtime):
    path = runtime / "listening.sock"
    port = free_port()
    place = serving_server(server={"listen": [f"127.0.0.1:{port}", f"unix:{path}"]},
                           client={"server": f"127.0.0.1:{port}"})
    before = path.stat().st_ino
    place.take_over()
    place.take_over()
    assert path.stat().st_ino == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds(5))
        connection.connect(str(path))
        connection.sendall(b"no link")
        assert connection.recv(100) != b"no link"
