"""A version 2 client of one plain link, and a server of plain links, written from docs/PROTOCOL.md: an
honest handshake, and then whatever frames a test wants."""

import hashlib
import hmac
import os
import socket
import struct

from . import servers
from .deadline import seconds

SYN, FIN, DATA, PING, PONG, RST, CTRL = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40
CLOSE = 0x31


def frame(stream, flags, payload=b""):
    return struct.pack(">IBH", stream, flags, len(payload)) + payload


def data(stream, offset, payload=b"", flags=DATA):
    """DATA or FIN, whose bytes belong at the offset; SYN stands on the first one of a stream."""
    return frame(stream, flags, struct.pack(">Q", offset) + payload)


def opening(stream, payload=b"", flags=DATA):
    return data(stream, 0, payload, SYN | DATA | flags)


def transcript(client_hello, server_hello, method, user):
    """T, without an exporter."""
    return hashlib.sha256(client_hello + server_hello + bytes([method, len(user)]) + user +
                          b"\0").digest()


class Frames:
    """A link, frame by frame."""

    def __init__(self, link):
        self.link = link

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

    def works(self):
        """Whether the session answers PING."""
        self.send(frame(0, PING, b"12345678"))
        self.receive_until(lambda stream, flags, payload: (flags, payload) == (PONG, b"12345678"))
        return True

    def close(self):
        self.link.close()


class LinkPeer(Frames):
    """Connected and authenticated when it is made."""

    def __init__(self, server, user, token, source="127.0.0.1", window=256 * 1024):
        super().__init__(socket.create_connection(server, timeout=seconds(10),
                                                  source_address=(source, 0)))
        hello = b"\x01\x02" + struct.pack(">III", 0, window, 0) + bytes(16)
        self.send(frame(0, CTRL, hello))
        server_hello = self.receive()[2]
        name = user.encode()
        mac = hmac.digest(hashlib.sha256(token.encode()).digest(), b"muxsocks 2 client auth" +
                          transcript(hello, server_hello, 1, name), "sha256")
        self.send(frame(0, CTRL, b"\x02\x01" + bytes([len(name)]) + name + mac))
        answer = self.receive()[2]
        if answer[0] != 0x03:
            raise PermissionError(f"AUTH was answered with {answer!r}")

    def receive_close(self):
        """Code and text of the CLOSE that must come; the link has to end behind it."""
        _, _, payload = self.receive_until(lambda stream, flags, payload: flags == CTRL and
                                           payload[0] == CLOSE)
        rest = self.link.recv(1)
        assert rest == b"", rest
        return payload[1], payload[4:].decode()


class ServedLink(Frames):
    """A link that a client has dialled, up to AUTH_OK. The session cannot be resumed."""

    def __init__(self, link, token):
        super().__init__(link)
        hello = self.receive()[2]
        answer = b"\x01\x02" + struct.pack(">III", 0, 256 * 1024, 16_384) + os.urandom(16)
        self.send(frame(0, CTRL, answer))
        _, _, auth = self.receive_until(lambda stream, flags, payload: flags == CTRL and
                                        payload[0] == 0x02)
        user = auth[3:3 + auth[2]]
        fields = os.urandom(16) + struct.pack(">I", 0)
        mac = hmac.digest(hashlib.sha256(token.encode()).digest(), b"muxsocks 2 server auth" +
                          transcript(hello, answer, auth[1], user) + fields, "sha256")
        self.send(frame(0, CTRL, b"\x03" + fields + mac))

    def request(self):
        """The id of the next stream that the client opens, once its request has come."""
        stream, _, _ = self.receive_until(lambda stream, flags, payload: flags == SYN | DATA)
        return stream


class LinkServer:
    """Listens for links."""

    def __init__(self, token):
        self.token = token
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(seconds(10))
        self.links = []

    @property
    def address(self):
        return "127.0.0.1:%d" % self.listener.getsockname()[1]

    def accept(self):
        link, _ = self.listener.accept()
        link.settimeout(seconds(10))
        self.links.append(ServedLink(link, self.token))
        return self.links[-1]

    def close(self):
        for each in self.links:
            each.close()
        self.listener.close()
