"""`systemctl restart` with a descriptor store: connections go on in the next process. The service
manager is a socket of the tests' own, which keeps what it is sent."""

import array
import os
import queue
import random
import secrets
import socket
import threading

import pytest

from support import servers, socks
from support.deadline import seconds, wait_until

# Makes what it is given the descriptors from 3 on, and becomes the program.
PASS = """
import fcntl, os, sys
names, numbers = sys.argv[1], sys.argv[2]
high = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 500) for each in numbers.split(",")]
for each in numbers.split(","):
    os.close(int(each))
for number, each in enumerate(high):
    os.dup2(each, 3 + number, inheritable=True)
    os.close(each)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Manager:
    """Keeps descriptors by their names, as systemd does for a unit with FileDescriptorStoreMax=."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(address))
        self.kept, self.messages = [], []
        self.environment = {"NOTIFY_SOCKET": str(address), "FDSTORE": "1000"}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        room = socket.CMSG_SPACE(253 * array.array("i").itemsize)
        while True:
            data, passed, _, _ = self.socket.recvmsg(4096, room)
            numbers = array.array("i")
            for _, _, part in passed:
                numbers.frombytes(part)
            message = dict(line.split("=", 1) for line in data.decode().split("\n"))
            if "END" in message:
                return
            if "FDSTORE" in message:
                self.kept += [(message["FDNAME"], each) for each in numbers]
            elif "FDSTOREREMOVE" in message:
                self.close(message["FDNAME"])
            else:
                for each in numbers:
                    os.close(each)
            self.messages.append(message)

    def close(self, name=None):
        gone = [one for one in self.kept if name in (None, one[0])]
        self.kept = [one for one in self.kept if one not in gone]
        for _, each in gone:
            os.close(each)

    def start(self, pair, role="server", **options):
        """The next process, with what is kept, in any order."""
        kept = random.sample(self.kept, len(self.kept))
        numbers = [each for _, each in kept]
        prefix = ["/usr/bin/python3", "-c", PASS, ":".join(name for name, _ in kept),
                  ",".join(map(str, numbers))] if kept else ()
        start = pair.start_server
        if role == "client":
            start, options["wait_for_link"] = pair.start_client, False
        return start(prefix=prefix, pass_fds=numbers, env=self.environment, **options)

    def end(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"END=1", self.environment["NOTIFY_SOCKET"])
        self._thread.join()
        self.close()
        self.socket.close()


@pytest.fixture
def manager(folder):
    made = Manager(folder / "notify")
    yield made
    made.end()


@pytest.fixture
def start_stored(new_pair, manager):
    """A pair whose server, or client, is the manager's."""

    def start(role):
        pair = new_pair()
        if role == "client":
            pair.start_server()
        manager.start(pair, role)
        if role == "server":
            pair.start_client(wait_for_link=False)
        pair.wait_for_link()
        return pair

    return start


@pytest.fixture
def stored(start_stored):
    return start_stored("server")


def end_process(pair, role="server"):
    process = getattr(pair, role)
    process.send(15)
    assert process.wait(10) == 0, process.last_words()


@pytest.mark.parametrize("role", ["server", "client"])
def test_connections_go_on_after_a_restart(start_stored, role, manager, target):
    pair, echo = start_stored(role), target(servers.echo)
    late = threading.Event()

    def answer_late(connection):
        text = servers.read_all(connection, 60)
        late.wait(60)
        connection.sendall(b"heard: " + text)

    half_closed = socks.connect(pair.socks, "127.0.0.1", target(answer_late).port)
    half_closed.sendall(b"all that I have")
    half_closed.shutdown(socket.SHUT_WR)
    with socks.connect(pair.socks, "127.0.0.1", echo.port) as connection:
        for number in range(4):
            text = f"restart {number}".encode()
            with socks.open_connection(pair.socks) as begun:
                begun.sendall(b"\x05\x01\x00")
                assert servers.read_exactly(begun, 2, seconds(20)) == b"\x05\x00"
                end_process(pair, role)
                connection.sendall(text)
                # The port is there while no process is.
                with socks.open_connection(pair.socks) as waiting:
                    waiting.sendall(b"\x05\x01\x00")
                    assert {name for name, _ in manager.kept} == {"muxsocks-state", "muxsocks-socket"}
                    manager.start(pair, role)
                    assert servers.read_exactly(connection, len(text), seconds(20)) == text
                    assert servers.read_exactly(waiting, 2, seconds(20)) == b"\x05\x00"
                    for each in (waiting, begun):
                        each.sendall(socks.request_bytes("127.0.0.1", echo.port))
                        assert servers.read_exactly(each, 10, seconds(20))[1] == socks.SUCCEEDED
            getattr(pair, role).says("has the place of the one before, 1 sessions with it")
            wait_until(lambda: not manager.kept, 5, "the store to be empty")
    late.set()
    assert servers.read_all(half_closed) == b"heard: all that I have"
    half_closed.close()


def test_without_a_next_process_connections_are_reset(stored, manager, target):
    ends = []

    def note_end(connection):
        try:
            ends.append(connection.recv(100))
        except OSError as error:
            ends.append(error)

    with socks.connect(stored.socks, "127.0.0.1", target(note_end).port):
        end_process(stored)
        assert not ends
        manager.close()
        wait_until(lambda: ends, 10, "the target to notice")
        assert isinstance(ends[0], ConnectionResetError), ends


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_session_that_is_not_taken_is_reset(start_stored, role, manager, target):
    """Its user is gone, or its links would be proved in another way."""
    pair, ends = start_stored(role), queue.Queue()

    def note_end(connection):
        try:
            ends.put(connection.recv(100))
        except OSError as error:
            ends.put(error)

    with socks.connect(pair.socks, "127.0.0.1", target(note_end).port) as connection:
        end_process(pair, role)
        if role == "server":
            pair.server_settings["users"] = [{"name": "another", "token": secrets.token_hex(32)}]
        else:
            pair.client_settings["tls"]["channel_binding"] = False
        manager.start(pair, role)
        if role == "server":
            assert isinstance(ends.get(timeout=seconds(20)), ConnectionResetError)
        else:
            connection.settimeout(seconds(20))
            with pytest.raises(ConnectionResetError):
                connection.recv(10)
            # At the server it waits for its client still.
            pair.server.kill()


def test_a_store_that_cannot_be_read_is_said_and_the_server_serves(stored, manager, target):
    end_process(stored)
    for name, each in manager.kept:
        if name == "muxsocks-state":
            os.ftruncate(each, 30)
    manager.start(stored)
    stored.server.says("what the service manager has kept .* cannot be read")
    stored.wait_for_link(2)
    with socks.connect(stored.socks, "127.0.0.1", target(servers.echo).port) as connection:
        connection.sendall(b"x")
        assert servers.read_exactly(connection, 1, seconds(20)) == b"x"


def test_a_manager_that_keeps_nothing_gets_a_drain(new_pair, manager, target):
    pair = new_pair()
    manager.environment["FDSTORE"] = "0"
    manager.start(pair)
    pair.start_client()
    end_process(pair)
    assert not manager.kept
    assert pair.server.lines("stopping: clients open")
