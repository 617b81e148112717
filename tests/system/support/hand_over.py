"""A process whose place new ones take, and what goes on meanwhile."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from . import servers, socks, udp
from .deadline import seconds, wait_until
from .exact import transfers
from .keyboard import Keyboard

PATTERN = bytes(range(251)) * 4_000
HAS_PLACE = r"this process has the place of process \d+, (\d+) sessions with it"


class Place:
    """The server or the client of a pair; `runtime` is the folder where it is found, and `prefix`
    stands in front of the command of each process."""

    def __init__(self, pair, role, runtime, prefix=()):
        self.pair, self.role, self.runtime, self.prefix = pair, role, runtime, prefix
        self.environment = {"XDG_RUNTIME_DIR": str(runtime), "RUNTIME_DIRECTORY": ""}

    @property
    def process(self):
        return getattr(self.pair, self.role)

    def start(self, **options):
        options = {"env": self.environment, "prefix": self.prefix, **options}
        if self.role == "server":
            return self.pair.start_server(**options)
        return self.pair.start_client(wait_for_link=False, **options)

    def start_heir(self, **options):
        return self.start(arguments=["--take-over"], wait=False, **options)

    def take_over(self, **options):
        old = self.process
        new = self.start_heir(**options)
        new.says(HAS_PLACE, seconds(20))
        assert old.wait(5) == 0, old.last_words()
        return old

    def offers(self):
        return list(self.runtime.glob(f"muxsocks-{self.role}-*.sock"))

    def wait_for_offer(self):
        wait_until(self.offers, 5, "the offer")


class Load:
    """What goes on while processes come and go; each part notes what goes wrong."""

    def __init__(self, pair, target, transfers=20, keyboards=2, prefix=()):
        """`prefix`: of the keyboards' commands."""
        self.pair, self.transfers = pair, transfers
        self.echo = target(servers.echo)
        self.release = threading.Event()
        self.late = target(self._answer_late)
        self.stuffed = target(self._send_pattern)
        self.faults, self.waits, self.requests = [], [], 0
        self.datagrams = self.lost = 0
        self._ending = threading.Event()
        self._keyboards = [Keyboard(pair.socks, prefix) for _ in range(keyboards)]
        self._threads = [threading.Thread(target=self._guard, args=(each,))
                         for each in (self._send_datagrams, self._request, self._transfer)]
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

    def _send_pattern(self, connection):
        connection.sendall(PATTERN * 4)
        # The kernel gives up a closed connection whose peer does not read for minutes.
        self.release.wait(600)

    def _guard(self, part):
        try:
            part()
        except Exception as fault:  # noqa: BLE001
            self.faults.append(f"{part.__name__}: {fault!r}")

    def _send_datagrams(self):
        """They may be lost; that the association and its port stay may not."""
        seen = set()
        answering = udp.Target(lambda payload, sender: seen.add(sender) or payload)
        with udp.Association(self.pair.socks) as association:
            while not self._ending.wait(0.05):
                text = b"%d" % self.datagrams
                self.datagrams += 1
                association.send(text, answering.host, answering.port)
                association.socket.settimeout(seconds(1))
                try:
                    while association.receive()[1] != text:
                        pass
                except TimeoutError:
                    self.lost += 1
            assert association.ask(b"last", answering.host, answering.port)
        assert len(seen) == 1, seen
        answering.stop()

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
            found = transfers(socks=self.pair.client.address, for_="2s",
                              concurrency=self.transfers, up="0-1MiB", down="0-1MiB", timeout=150)
            assert found["right"] and found["ok"] == found["transfers"], found

    def end(self):
        self._ending.set()
        for each in self._keyboards:
            self.waits += each.stop()
        for each in self._threads:
            each.join()
        self.release.set()
        assert servers.read_all(self.half_closed) == b"heard: all that I have"
        assert servers.read_all(self.unread) == PATTERN * 4
        self.half_closed.close()
        self.unread.close()
        assert not self.faults, self.faults
