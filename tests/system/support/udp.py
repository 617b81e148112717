"""SOCKS5's UDP ASSOCIATE for tests: an association of which every byte is the test's choice, and
targets that answer datagrams."""

import ipaddress
import socket
import struct
import threading

from . import deadline, socks


def header(host, port, rsv=0, frag=0):
    """RSV, FRAG, ATYP, DST.ADDR, DST.PORT (RFC 1928, section 7)."""
    return struct.pack(">HB", rsv, frag) + socks.address_field(host) + struct.pack(">H", port)


def parse(datagram):
    """((host, port), payload) of what came from the proxy."""
    assert datagram[:3] == b"\0\0\0", datagram[:10]
    size = {1: 4, 4: 16}[datagram[3]]  # Never a name: many clients cannot read one.
    host = str(ipaddress.ip_address(datagram[4:4 + size]))
    return (host, struct.unpack(">H", datagram[4 + size:6 + size])[0]), datagram[6 + size:]


class Association:
    """`proxy`: (host, port) of the client. `reply` is what the request was answered with; without
    success there is nothing else."""

    def __init__(self, proxy, dst=("0.0.0.0", 0), timeout=20, **login):
        self.control, self.reply = socks.ask(proxy, *dst, cmd=socks.UDP_ASSOCIATE, timeout=timeout, **login)
        self.socket = None
        if self.reply.rep != socks.SUCCEEDED:
            return
        family = socket.AF_INET6 if ":" in self.reply.bnd_addr else socket.AF_INET
        self.relay = (self.reply.bnd_addr, self.reply.bnd_port)
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(deadline.seconds(timeout))
        self.socket.bind((proxy[0], 0))

    def send(self, payload, host, port, **fields):
        self.socket.sendto(header(host, port, **fields) + payload, self.relay)

    def receive(self):
        return parse(self.socket.recv(70_000))

    def ask(self, payload, host, port, tries=20):
        """The answer to a datagram, which may be lost: it is sent again."""
        self.socket.settimeout(deadline.seconds(1))
        for _ in range(tries):
            self.send(payload, host, port)
            try:
                return self.receive()
            except TimeoutError:
                continue
        raise AssertionError("no answer")

    def quiet(self, seconds=0.3):
        """Whether nothing comes for so long."""
        self.socket.settimeout(deadline.seconds(seconds))
        try:
            self.socket.recv(70_000)
        except TimeoutError:
            return True
        return False

    def ended(self, timeout=20):
        """Whether the control connection is closed in the normal way, within the time."""
        self.control.settimeout(deadline.seconds(timeout))
        return self.control.recv(1) == b""

    def close(self):
        self.control.close()
        if self.socket:
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Target:
    """A UDP socket that answers each datagram: `answer(payload, sender)` gives the answer, none by
    None. Keeps what it has seen."""

    def __init__(self, answer=lambda payload, sender: payload, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((host, 0))
        self.host, self.port = self.socket.getsockname()[:2]
        self.seen = []
        self.senders = []
        self._answer = answer
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                payload, sender = self.socket.recvfrom(70_000)
            except OSError:
                return
            if self._stopping:
                return
            self.seen.append(payload)
            self.senders.append(sender)
            answer = self._answer(payload, sender)
            if answer is not None:
                self.socket.sendto(answer, sender)

    def stop(self):
        self._stopping = True
        with socket.socket(self.socket.family, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (self.host, self.port))
        self._thread.join(5)
        self.socket.close()
