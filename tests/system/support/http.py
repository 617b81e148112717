"""An HTTP client for tests, byte for byte, so that every line is the test's own choice."""

import re
import socket

from . import deadline
from .servers import read_exactly


class Answer:
    def __init__(self, status, head, body):
        self.status, self.head, self.body = status, head, body

    def field(self, name):
        """The field's value, or None."""
        found = re.search(rf"^{re.escape(name)}: *(.*?)\r$", self.head, re.MULTILINE | re.IGNORECASE)
        return found and found.group(1)


def read_head(connection, timeout=20):
    connection.settimeout(deadline.seconds(timeout))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise EOFError(f"end of file within a head: {head!r}")
        head += byte
    return head.decode("latin-1")


def read_answer(connection, timeout=20):
    """A head, and the body of its Content-Length."""
    head = read_head(connection, timeout)
    answer = Answer(int(head.split(" ")[1]), head, b"")
    if length := answer.field("Content-Length"):
        answer.body = read_exactly(connection, int(length), deadline.seconds(timeout))
    return answer


def ask(proxy, text, timeout=20):
    """Sends the text; returns the connection and the answer."""
    connection = socket.create_connection(proxy[:2], timeout=deadline.seconds(timeout))
    connection.sendall(text if isinstance(text, bytes) else text.encode())
    return connection, read_answer(connection, timeout)


def status(proxy, text, timeout=20):
    connection, answer = ask(proxy, text, timeout)
    connection.close()
    return answer.status


def connect(proxy, authority, fields=""):
    """A tunnel that must be there."""
    connection, answer = ask(proxy, f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n")
    assert answer.status == 200, answer.head
    return connection
