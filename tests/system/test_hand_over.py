"""A new process takes the place of the one that serves: connections go on in it, under load.

MUXSOCKS_LONG=1 restarts a hundred times.
"""

import json
import os
import random
import select
import shutil
import socket
import stat
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import servers, socks
from support.deadline import seconds, wait_until
from support.exact import transfers
from support.muxsocks import listening
from support.programs import binary, free_port, run

LONG = bool(os.environ.get("MUXSOCKS_LONG"))
RESTARTS = 100 if LONG else 10
KILLS = 250 if LONG else 15
PATTERN = bytes(range(251)) * 4_000

HAS_PLACE = r"this process has the place of process \d+, (\d+) sessions with it"


@pytest.fixture
def runtime():
    """A runtime folder whose path is short enough for a socket."""
    made = tempfile.mkdtemp(prefix="muxsocks-")
    yield Path(made)
    shutil.rmtree(made)


@pytest.fixture
def serving(new_pair, runtime):
    """`serving(**settings)`: a pair whose server can be taken over, by `pair.take_over()`."""

    def start(**settings):
        pair = new_pair(**settings)
        environment = {"XDG_RUNTIME_DIR": str(runtime), "RUNTIME_DIRECTORY": ""}

        def take_over(**options):
            old = pair.server
            new = pair.start_server(env=environment, arguments=["--take-over"], wait=False,
                                    **options)
            new.says(HAS_PLACE, seconds(20))
            assert old.wait(5) == 0, old.last_words()
            return old

        pair.start_server(env=environment)
        pair.start_client()
        wait_until(lambda: list(runtime.glob("muxsocks-server-*.sock")), 5, "the offer")
        pair.take_over = take_over
        return pair

    return start


class Load:
    """What goes on while processes come and go; each part notes what goes wrong."""

    def __init__(self, pair, target):
        self.pair = pair
        self.echo = target(servers.echo)
        self.release = threading.Event()
        self.late = target(self._answer_late)
        self.stuffed = target(self._send_pattern)
        self.faults, self.waits, self.requests = [], [], 0
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._guard, args=(each,))
                         for each in (self._type, self._request, self._transfer)]
        self.half_closed = socks.connect(pair.socks, "127.0.0.1", self.late.port)
        self.half_closed.sendall(b"all that I have")
        self.half_closed.shutdown(socket.SHUT_WR)
        self.unread = socks.connect(pair.socks, "127.0.0.1", self.stuffed.port)
        for each in self._threads:
            each.start()

    def _answer_late(self, connection):
        text = servers.read_all(connection, 600)
        self.release.wait(600)
        connection.sendall(b"heard: " + text)

    @staticmethod
    def _send_pattern(connection):
        connection.sendall(PATTERN * 4)

    def _guard(self, part):
        try:
            part()
        except Exception as fault:  # noqa: BLE001
            self.faults.append(f"{part.__name__}: {fault!r}")

    def _type(self):
        with socks.connect(self.pair.socks, "127.0.0.1", self.echo.port) as keyboard:
            while not self._ending.wait(0.02):
                begun = time.monotonic()
                keyboard.sendall(b"k")
                assert servers.read_exactly(keyboard, 1, seconds(20)) == b"k"
                self.waits.append(time.monotonic() - begun)

    def _request(self):
        with ThreadPoolExecutor(40) as pool:
            under_way = []
            while not self._ending.wait(0.05):
                under_way.append(pool.submit(self._one_request))
            for each in under_way:
                each.result()

    def _one_request(self):
        with socks.connect(self.pair.socks, "127.0.0.1", self.echo.port) as connection:
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5, seconds(20)) == b"hello"
        self.requests += 1

    def _transfer(self):
        while not self._ending.is_set():
            found = transfers(socks=self.pair.client.address, for_="2s", concurrency=20,
                              up="0-1MiB", down="0-1MiB", timeout=150)
            assert found["right"] and found["ok"] == found["transfers"], found

    def end(self):
        self._ending.set()
        for each in self._threads:
            each.join()
        self.release.set()
        assert servers.read_all(self.half_closed) == b"heard: all that I have"
        assert servers.read_all(self.unread) == PATTERN * 4
        self.half_closed.close()
        self.unread.close()
        assert not self.faults, self.faults


def test_a_servers_connections_go_on_in_the_next_process(serving, target):
    pair = serving()
    load = Load(pair, target)
    for _ in range(RESTARTS):
        pair.take_over()
        before = load.requests
        wait_until(lambda: load.faults or load.requests > before + 3, 20, "requests to go on")
    load.end()
    print(f"{RESTARTS} restarts, {load.requests} requests, {len(load.waits)} keystrokes, the "
          f"longest wait of one {max(load.waits) * 1000:.0f} ms")


def test_a_dial_that_is_under_way_goes_on(serving, target):
    pair = serving()
    with servers.unanswering() as silent:
        connection = socks.open_connection(pair.socks)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", silent))
        pair.take_over()
        assert not select.select([connection], [], [], 0.3)[0], "it was answered, or reset"
        with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as other:
            other.sendall(b"x")
            assert servers.read_exactly(other, 1) == b"x"
        connection.close()


def test_the_status_listener_goes_to_the_next_process(serving, runtime):
    pair = serving(server={"status": {"listen": f"unix:{runtime / 'status.sock'}"}})

    def started():
        shown = run([binary("muxsocks-server"), "status", "--json", "-c", pair.server.config_path])
        return shown.returncode == 0 and json.loads(shown.stdout)["started"]

    before = started()
    assert before
    pair.take_over()
    wait_until(lambda: started() > before, seconds(15), "the status of the new process")


def test_where_nobody_serves_the_new_process_just_starts(new_pair, runtime):
    pair = new_pair()
    pair.start_server(env={"XDG_RUNTIME_DIR": str(runtime)}, arguments=["--take-over"])
    pair.server.says("no server whose place could be taken")
    pair.start_client()


def test_the_offer_is_its_users_alone(serving, runtime):
    serving()
    (offer,) = runtime.glob("muxsocks-server-*.sock")
    assert stat.S_IMODE(offer.stat().st_mode) == 0o600


def test_a_configuration_that_is_wrong_takes_nothing(serving, target, folder):
    pair = serving()
    with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        wrong = pair.start_server
        settings = pair.server_settings
        pair.server_settings = {**settings, "tls": {**settings["tls"], "cert": "/nowhere"}}
        old = pair.server
        new = wrong(env={"XDG_RUNTIME_DIR": "/nowhere"}, arguments=["--take-over"], wait=False)
        assert new.wait() != 0
        pair._started.remove(new)
        pair.server = old
        connection.sendall(b"still here")
        assert servers.read_exactly(connection, 10) == b"still here"


@pytest.mark.parametrize("what", [b"", b"\x00\x01", b"\x09\x01nonsense"])
def test_whoever_asks_in_another_way_gets_nothing(serving, target, runtime, what):
    pair = serving()
    (offer,) = runtime.glob("muxsocks-server-*.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(str(offer))
        if what:
            asking.send(what)
    with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        connection.sendall(b"x")
        assert servers.read_exactly(connection, 1) == b"x"


HELLO = b"\x00\x01\x00\x01\x00\x01"
READY = b"\x02\x01"
ALL, YOURS, REFUSED = 4, 6, 7


@pytest.mark.parametrize("last", ["hello", "listeners", "session", "all"])
def test_a_new_process_that_dies_leaves_the_old_one_serving(serving, target, runtime, last):
    pair = serving()
    (offer,) = runtime.glob("muxsocks-server-*.sock")
    with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as connection:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.connect(str(offer))
            asking.settimeout(seconds(5))
            asking.send(HELLO)
            if last != "hello":
                assert asking.recv(65536)[0] == 1  # The listeners.
            if last in ("session", "all"):
                asking.send(READY)
                assert asking.recv(65536)[0] == 3
                while last == "all" and asking.recv(65536)[0] != ALL:
                    pass
        pair.server.says("the hand-over has failed")
        connection.sendall(b"still here")
        assert servers.read_exactly(connection, 10) == b"still here"
        with socks.connect(pair.socks, "127.0.0.1", target(servers.echo).port) as other:
            other.sendall(b"x")
            assert servers.read_exactly(other, 1) == b"x"
        pair.take_over()
        connection.sendall(b"and there")
        assert servers.read_exactly(connection, 9) == b"and there"


def test_a_process_of_another_format_is_told_so(serving, runtime):
    pair = serving()
    (offer,) = runtime.glob("muxsocks-server-*.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(str(offer))
        asking.send(b"\x00\x01\x00\x09\x00\x09")
        asking.settimeout(seconds(5))
        answer = asking.recv(65536)
        assert answer[0] == REFUSED and b"format" in answer
    pair.server.says("does not know the format of its sessions: this one goes on")


@pytest.mark.parametrize("victim", ["old", "new"])
def test_whichever_process_is_killed_each_stream_is_whole_or_reset(serving, target, runtime, victim):
    seed = int(os.environ.get("MUXSOCKS_SEED", random.randrange(1 << 32)))
    print(f"MUXSOCKS_SEED={seed}")
    chance = random.Random(seed)
    pair = serving()
    echo = target(servers.echo)
    environment = {"XDG_RUNTIME_DIR": str(runtime), "RUNTIME_DIRECTORY": ""}
    went_on = 0

    def connect():
        return socks.connect(pair.socks, "127.0.0.1", echo.port, timeout=seconds(30))

    connection = connect()
    for _ in range(KILLS):
        old = pair.server
        # What a reset takes along may be cut off anywhere; what goes on may not.
        sent = chance.randbytes(chance.randrange(1, 300_000))
        failures = []
        sender = threading.Thread(target=send_or_fail, args=(connection, sent, failures))
        sender.start()
        new = pair.start_server(env=environment, arguments=["--take-over"], wait=False)
        if chance.random() < 0.8:
            old.says("takes the place of this one", 20)
        time.sleep(0.03 * chance.random())  # At any moment.
        killed, other = (old, new) if victim == "old" else (new, old)
        killed.process.kill()
        killed.process.wait()
        pair._started.remove(killed)
        wait_until(lambda: is_settled(other, victim), 20, other.last_words)
        pair.server = other
        if not other.running():
            pair._started.remove(other)
            pair.start_server(env=environment)
        try:
            assert servers.read_exactly(connection, len(sent), seconds(30)) == sent
            went_on += 1
            sender.join()
        except (ConnectionError, EOFError) as error:
            sender.join()
            # Who sends may have been told of the reset, and then nobody else is.
            assert failures or not isinstance(error, EOFError), "an end that is no reset"
            connection.close()
            connection = connect()
        wait_until(lambda: list(runtime.glob("muxsocks-server-*.sock")), 5, "the offer")
    connection.close()
    print(f"{victim} killed {KILLS} times: the stream went on {went_on} times")
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


def test_sockets_of_all_kinds_go_along(serving, runtime):
    path = runtime / "listening.sock"
    port = free_port()
    pair = serving(server={"listen": [f"127.0.0.1:{port}", f"unix:{path}"]},
                   client={"server": f"127.0.0.1:{port}"})
    before = path.stat().st_ino
    pair.take_over()
    pair.take_over()
    assert path.stat().st_ino == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds(5))
        connection.connect(str(path))
        connection.sendall(b"no link")
        assert connection.recv(100) != b"no link"
