"""A name server with scripted answers (RFC 1035, UDP and TCP), for `dns.servers` of the server.

    dns = DnsServer({"web.test": ["127.0.0.1", "::1"]})
    dns.records["slow.test"] = Answer(["127.0.0.1"], delay=0.5)

Names that it does not know do not exist (NXDOMAIN). A name without a record of the wanted type is
answered with no record.
"""

import ipaddress
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

A, PTR, AAAA = 1, 12, 28
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3


@dataclass
class Answer:
    addresses: list = field(default_factory=list)
    names: list = field(default_factory=list)  # PTR
    delay: float = 0.0       # before A and AAAA alike,
    delay_aaaa: float = 0.0  # and on top of it before AAAA
    code: int = NO_ERROR
    silent: bool = False     # no answer at all
    truncated: bool = False  # over UDP: ask again over TCP


class DnsServer:
    def __init__(self, records=None, host="127.0.0.1", port=0):
        self.records = dict(records or {})
        self.queries = []  # (name, type) in the order in which they came
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:  # one port free for both
            self._udp.bind((host, port))
            try:
                self._tcp.bind(self._udp.getsockname())
                break
            except OSError:
                self._udp.close()
                if port != 0:
                    raise
                self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp.listen(16)
        self.host, self.port = self._udp.getsockname()
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def stop(self):
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self):
        while True:
            try:
                query, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            self._answer(query, False, lambda data, peer=peer: self._udp.sendto(data, peer))

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection):
        with connection:
            stream = connection.makefile("rb")
            while len(length := stream.read(2)) == 2:
                query = stream.read(struct.unpack(">H", length)[0])
                self._answer(query, True,
                             lambda data: connection.sendall(struct.pack(">H", len(data)) + data))

    def _answer(self, query, over_tcp, send):
        name, kind, question = _parse(query)
        self.queries.append((name, kind))
        record = self.records.get(name)
        if record is None:
            record = Answer(code=NO_SUCH_NAME)
        elif not isinstance(record, Answer):
            record = Answer(list(record))
        if record.silent:
            return
        truncated = record.truncated and not over_tcp
        reply = _reply(query, question, kind, record, truncated)
        delay = record.delay + (record.delay_aaaa if kind == AAAA else 0)
        if delay == 0:
            return _quietly(send, reply)
        timer = threading.Timer(delay, _quietly, (send, reply))
        timer.daemon = True
        timer.start()


def _quietly(send, reply):
    try:
        send(reply)
    except OSError:
        pass  # the test is over


def _parse(query):
    labels, position = [], 12
    while length := query[position]:
        labels.append(query[position + 1:position + 1 + length].decode("ascii", "replace"))
        position += 1 + length
    kind = struct.unpack(">H", query[position + 1:position + 3])[0]
    return ".".join(labels).lower(), kind, query[12:position + 5]


def _reply(query, question, kind, record, truncated):
    wanted = {A: 4, AAAA: 6}.get(kind)
    found = [ipaddress.ip_address(each) for each in record.addresses]
    found = [each.packed for each in found if each.version == wanted]
    if kind == PTR:
        found = [b"".join(bytes([len(label)]) + label.encode() for label in [*name.split("."), ""])
                 for name in record.names]
    if truncated:
        found = []
    flags = 0x8180 | record.code | (0x0200 if truncated else 0)
    header = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
    answers = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 1, len(each)) + each
                       for each in found)
    return header + question + answers


def wait_for_query(server, name, timeout=5):
    """Waits until somebody has asked for the name."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if any(asked == name for asked, _ in server.queries):
            return
        time.sleep(0.01)
    raise AssertionError(f"nobody asked for {name}: {server.queries}")
