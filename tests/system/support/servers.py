"""Targets on loopback: what the connections through the proxy end at.

Each server listens on a free port, serves every connection in a thread of its own, and at stop()
closes what is left. `handler` is any function of a connected socket.
"""

import contextlib
import errno
import select
import socket
import struct
import threading
import time


class TargetServer:
    def __init__(self, handler, host="127.0.0.1", backlog=1024):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, 0))
        self.listener.listen(backlog)
        self.host, self.port = self.listener.getsockname()[:2]
        self.handler = handler
        self.accepted = 0
        self.ends = []  # how each connection ended: "closed" or the errno's name
        self._open = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def endpoint(self):
        return self.host, self.port

    @property
    def live(self):
        with self._lock:
            return len(self._open)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                if self._stopped:
                    return
                time.sleep(0.01)
                continue
            with self._lock:
                self.accepted += 1
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        end = "closed"
        try:
            self.handler(connection)
        except OSError as failed:
            end = errno.errorcode.get(failed.errno, str(failed))
        finally:
            with self._lock:
                self._open.discard(connection)
                self.ends.append(end)
            connection.close()

    def stop(self):
        self._stopped = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(5)
        with self._lock:
            left = list(self._open)
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def echo(connection):
    """Sends back what comes, and the FIN after it."""
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def sink(connection):
    """Reads to the end and answers with the number of bytes as text."""
    count = 0
    while data := connection.recv(1 << 20):
        count += len(data)
    connection.sendall(b"%d" % count)


def source(connection):
    """Sends zeros until nobody reads."""
    block = bytes(1 << 18)
    while True:
        connection.sendall(block)


def hold(connection):
    """Reads nothing, sends nothing, and waits for the end: a FIN, or a RST, which is raised."""
    watch = select.poll()
    watch.register(connection, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    watch.poll()
    if pending := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(pending, errno.errorcode[pending])


def greet_and(action, text=b"hello"):
    """Sends a greeting, reads the peer's first byte, then does `action` to the connection."""

    def handler(connection):
        connection.sendall(text)
        connection.recv(1)
        action(connection)

    return handler


def reset(connection):
    """Closes with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_all(connection, timeout=20):
    """Everything up to the FIN; raises ConnectionResetError for a RST."""
    connection.settimeout(timeout)
    parts = []
    while data := connection.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


def read_exactly(connection, count, timeout=20):
    connection.settimeout(timeout)
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError(f"end of file after {len(data)} of {count} bytes: {data!r}")
        data += part
    return data


@contextlib.contextmanager
def unanswering():
    """A port of this host at which connects stay without an answer: its queue is full."""
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]
