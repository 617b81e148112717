"""A version 2 client of one plain link, written from docs/PROTOCOL.md: an honest handshake, and then
whatever frames a test wants."""

import hashlib
import hmac
import socket
import struct

from . import servers
from .deadline import seconds

SYN, FIN, DATA, PING, PONG, RST, CTRL = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40
CLOSE = 0x31


def frame(stream, flags, payload=b""):
    return struct.pack(">IBH", stream, flags, len(payload)) + payload


class LinkPeer:
    """Connected and authenticated when it is made."""

    def __init__(self, server, user, token):
        self.link = socket.create_connection(server, timeout=seconds(10))
        hello = b"\x01\x02" + struct.pack(">III", 0, 256 * 1024, 0) + bytes(16)
        self.send(frame(0, CTRL, hello))
        server_hello = self.receive()[2]
        name = user.encode()
        transcript = hashlib.sha256(hello + server_hello + b"\x01" + bytes([len(name)]) + name +
                                    b"\0").digest()
        mac = hmac.digest(hashlib.sha256(token.encode()).digest(), b"muxsocks auth c v2" + transcript,
                          "sha256")
        self.send(frame(0, CTRL, b"\x02\x01" + bytes([len(name)]) + name + mac))
        answer = self.receive()[2]
        assert answer[0] == 0x03, answer

    def send(self, data):
        self.link.sendall(data)

    def receive(self):
        """The next frame: stream, flags, payload."""
        stream, flags, length = struct.unpack(">IBH", servers.read_exactly(self.link, 7))
        return stream, flags, servers.read_exactly(self.link, length)

    def receive_until(self, wanted):
        """Frames up to the first for which `wanted(stream, flags, payload)`, which is returned."""
        while True:
            found = self.receive()
            if wanted(*found):
                return found

    def receive_close(self):
        """Code and text of the CLOSE that must come; the link has to end behind it."""
        _, _, payload = self.receive_until(lambda stream, flags, payload: flags == CTRL and
                                           payload[0] == CLOSE)
        rest = self.link.recv(1)
        assert rest == b"", rest
        return payload[1], payload[2:].decode()

    def works(self):
        """Whether the session answers PING."""
        self.send(frame(0, PING, b"12345678"))
        self.receive_until(lambda stream, flags, payload: (flags, payload) == (PONG, b"12345678"))
        return True

    def close(self):
        self.link.close()
