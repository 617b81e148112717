"""What a proxy must get right besides the bytes: ends, resets, and the SOCKS replies.

Runs inside a scene's namespace as a program of its own (`python3 correctness.py --socks ...`),
with its own targets, and prints one JSON object: the name of each check, and "yes" or what happened
instead. The checks are the same for every peer; a relay is asked only what does not need SOCKS.
"""

import argparse
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from typing import Callable

TIMEOUT = 6
REQUEST = b"request " * 4096
ANSWER = b"an answer." * 40_000
BIG = os.urandom(4 * 1024 * 1024)

# Routed nowhere in the namespace (see works.py): the kernel answers with "unreachable" at once.
# Elsewhere (--no-routes) they are left alone.
NETWORK_UNREACHABLE = "8.8.4.4"
HOST_UNREACHABLE = "9.9.9.9"
UNRESOLVABLE = "no-such-name.invalid"

REP_NAMES = {0: "succeeded", 1: "general failure", 2: "not allowed", 3: "network unreachable",
             4: "host unreachable", 5: "connection refused", 6: "TTL expired",
             7: "command not supported", 8: "address type not supported"}


class Unexpected(Exception):
    """The proxy did something else; the text says what."""


@dataclass
class Way:
    """How to reach a target on `port`: through SOCKS5, or through a relay that leads to one port."""
    socks: tuple[str, int] | None
    relay: tuple[str, int] | None
    relay_port: int


class Target:
    """A listening socket; each accepted connection is served by `serve` on a thread."""

    def __init__(self, serve: Callable[[socket.socket], None], port: int = 0,
                 family: int = socket.AF_INET):
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        self.result = ""
        self._serve = serve
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            connection, self.peer = self.listener.accept()
            connection.settimeout(TIMEOUT)
            with connection:
                self.result = self._serve(connection) or ""
        except OSError as error:
            self.result = f"{type(error).__name__}"

    def wait(self) -> str:
        self._thread.join(TIMEOUT + 2)
        self.listener.close()
        return "nothing within the time" if self._thread.is_alive() else self.result


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise Unexpected("closed during the SOCKS handshake")
        data += part
    return data


def receive_all(connection: socket.socket) -> tuple[bytes, str]:
    """Everything until the end, and how it ended: "end" or "reset"."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts), "end"
    except ConnectionResetError:
        return b"".join(parts), "reset"
    except TimeoutError:
        return b"".join(parts), "nothing more, and no end"


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def ask(way: Way, address: bytes, cmd: int = 1) -> tuple[socket.socket, int, bytes, int]:
    """A SOCKS5 request; `address` is ATYP with DST.ADDR and DST.PORT. Returns the connection, REP,
    BND.ADDR and BND.PORT."""
    connection = socket.create_connection(way.socks, timeout=TIMEOUT)
    connection.sendall(b"\x05\x01\x00")
    if receive_exactly(connection, 2) != b"\x05\x00":
        raise Unexpected("no method accepted")
    connection.sendall(bytes([5, cmd, 0]) + address)
    head = receive_exactly(connection, 4)
    size = {1: 4, 4: 16}.get(head[3])
    if size is None:
        size = receive_exactly(connection, 1)[0]
    bound = receive_exactly(connection, size)
    return connection, head[1], bound, struct.unpack("!H", receive_exactly(connection, 2))[0]


def ipv4(address: str, port: int) -> bytes:
    return b"\x01" + socket.inet_aton(address) + struct.pack("!H", port)


def name(text: str, port: int) -> bytes:
    return b"\x03" + bytes([len(text)]) + text.encode() + struct.pack("!H", port)


def connect(way: Way, port: int) -> socket.socket:
    if way.relay:
        return socket.create_connection(way.relay, timeout=TIMEOUT)
    connection, rep, _, _ = ask(way, ipv4("127.0.0.1", port))
    if rep != 0:
        raise Unexpected(f"refused with REP {rep}")
    return connection


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Unexpected(otherwise)


# Half-closing, in every shape.

def application_ends_first(way: Way) -> None:
    def serve(connection):
        request, end = receive_all(connection)
        time.sleep(0.3)
        connection.sendall(ANSWER)
        return "ok" if (request, end) == (REQUEST, "end") else f"{len(request)} bytes, then {end}"

    target = Target(serve, way.relay_port)
    with connect(way, target.port) as connection:
        connection.sendall(REQUEST)
        connection.shutdown(socket.SHUT_WR)
        answer, end = receive_all(connection)
    seen = target.wait()
    expect(seen == "ok", f"the target got {seen}")
    expect((answer, end) == (ANSWER, "end"),
           f"{len(answer)} of {len(ANSWER)} bytes of the answer, then {end}")


def target_ends_first(way: Way) -> None:
    def serve(connection):
        connection.sendall(ANSWER)
        connection.shutdown(socket.SHUT_WR)
        request, end = receive_all(connection)
        return "ok" if (request, end) == (REQUEST, "end") else f"{len(request)} bytes, then {end}"

    target = Target(serve, way.relay_port)
    with connect(way, target.port) as connection:
        answer, end = receive_all(connection)
        expect((answer, end) == (ANSWER, "end"), f"{len(answer)} bytes, then {end}")
        time.sleep(0.3)
        try:
            connection.sendall(REQUEST)
            connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Unexpected(f"sending afterwards: {error.strerror}") from None
        seen = target.wait()
    expect(seen == "ok", f"the target got {seen}")


def ends_without_a_byte(way: Way) -> None:
    def serve(connection):
        _, end = receive_all(connection)
        connection.sendall(ANSWER)
        return end

    target = Target(serve, way.relay_port)
    with connect(way, target.port) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer, end = receive_all(connection)
    seen = target.wait()
    expect(seen == "end", f"the target saw {seen}")
    expect((answer, end) == (ANSWER, "end"), f"{len(answer)} of {len(ANSWER)} bytes, then {end}")


def answers_after_a_long_upload(way: Way) -> None:
    def serve(connection):
        data, _ = receive_all(connection)
        connection.sendall(hashlib.sha256(data).digest())

    target = Target(serve, way.relay_port)
    with connect(way, target.port) as connection:
        connection.sendall(BIG)
        connection.shutdown(socket.SHUT_WR)
        answer, end = receive_all(connection)
    target.wait()
    expect((answer, end) == (hashlib.sha256(BIG).digest(), "end"), f"{len(answer)} bytes, then {end}")


# Resets: without them a download that was cut off looks complete.

def target_resets(way: Way) -> None:
    def serve(connection):
        connection.sendall(ANSWER[:1000])
        connection.recv(1)
        reset(connection)

    target = Target(serve, way.relay_port)
    with connect(way, target.port) as connection:
        connection.recv(1)
        connection.sendall(b"x")
        _, end = receive_all(connection)
    target.wait()
    expect(end == "reset", f"the application saw {end}")


def application_resets(way: Way) -> None:
    def serve(connection):
        connection.sendall(b"x")
        return receive_all(connection)[1]

    target = Target(serve, way.relay_port)
    connection = connect(way, target.port)
    connection.recv(1)
    reset(connection)
    seen = target.wait()
    expect(seen == "reset", f"the target saw {seen}")


# Replies that tell the truth.

def expect_rep(way: Way, wanted: int, address: bytes, cmd: int = 1) -> None:
    connection, rep, _, _ = ask(way, address, cmd)
    connection.close()
    expect(rep == wanted, f"REP {rep} ({REP_NAMES.get(rep, '?')}), not {wanted}")


def refused_port(way: Way) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    expect_rep(way, 5, ipv4("127.0.0.1", port))


def unreachable_network(way: Way) -> None:
    expect_rep(way, 3, ipv4(NETWORK_UNREACHABLE, 80))


def unreachable_host(way: Way) -> None:
    expect_rep(way, 4, ipv4(HOST_UNREACHABLE, 80))


def unresolvable_name(way: Way) -> None:
    expect_rep(way, 4, name(UNRESOLVABLE, 80))


def unknown_command(way: Way) -> None:
    expect_rep(way, 7, ipv4("127.0.0.1", 80), cmd=9)


def unknown_address_type(way: Way) -> None:
    expect_rep(way, 8, b"\x09" + ipv4("127.0.0.1", 80)[1:])


def true_bound_address(way: Way) -> None:
    target = Target(lambda connection: connection.recv(1) and "", 0)
    connection, rep, bound, port = ask(way, ipv4("127.0.0.1", target.port))
    with connection:
        connection.sendall(b"x")
        target.wait()
    expect(rep == 0, f"REP {rep}")
    expect((bound, port) == (socket.inet_aton(target.peer[0]), target.peer[1]),
           f"said {'.'.join(map(str, bound))}:{port}, the target saw "
           f"{target.peer[0]}:{target.peer[1]}")


def name_of_far_side(way: Way) -> None:
    target = Target(lambda connection: connection.sendall(b"x"), 0)
    connection, rep, _, _ = ask(way, name("localhost", target.port))
    with connection:
        expect(rep == 0, f"REP {rep}")
        expect(connection.recv(1) == b"x", "no byte")
    target.wait()


def ipv6_target(way: Way) -> None:
    target = Target(lambda connection: connection.sendall(b"x"), 0, socket.AF_INET6)
    address = b"\x04" + socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("!H", target.port)
    connection, rep, _, _ = ask(way, address)
    with connection:
        expect(rep == 0, f"REP {rep}")
        expect(connection.recv(1) == b"x", "no byte")
    target.wait()


# Title -> (check, whether it needs SOCKS).
CHECKS: dict[str, tuple[Callable[[Way], None], bool]] = {
    "half-close: the application ends first, the answer follows": (application_ends_first, False),
    "half-close: the target ends first, the request follows": (target_ends_first, False),
    "half-close: the application ends without having sent a byte": (ends_without_a_byte, False),
    "half-close: an answer after a long upload": (answers_after_a_long_upload, False),
    "the target's reset reaches the application": (target_resets, False),
    "the application's reset reaches the target": (application_resets, False),
    "REP 05 for a refused connection": (refused_port, True),
    "REP 03 for an unreachable network": (unreachable_network, True),
    "REP 04 for an unreachable host": (unreachable_host, True),
    "REP 04 for a name that does not exist": (unresolvable_name, True),
    "REP 07 for an unknown command": (unknown_command, True),
    "REP 08 for an unknown address type": (unknown_address_type, True),
    "BND.ADDR and BND.PORT are what the target sees": (true_bound_address, True),
    "names are resolved at the far side": (name_of_far_side, True),
    "IPv6 targets": (ipv6_target, True),
}


def run_checks(way: Way, routes: bool) -> dict[str, str]:
    results = {}
    for title, (check, needs_socks) in CHECKS.items():
        if needs_socks and not way.socks:
            continue
        if check in (unreachable_network, unreachable_host) and not routes:
            continue
        try:
            check(way)
            results[title] = "yes"
        except Unexpected as why:
            results[title] = str(why)
        except TimeoutError:
            results[title] = f"nothing within {TIMEOUT} s"
        except OSError as error:
            results[title] = error.strerror or type(error).__name__
    return results


def parse_address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks ends, resets and replies of a proxy.")
    parser.add_argument("--socks", type=parse_address)
    parser.add_argument("--relay", type=parse_address)
    parser.add_argument("--relay-port", type=int, default=0,
                        help="the port on 127.0.0.1 that the relay leads to")
    parser.add_argument("--no-routes", action="store_true",
                        help="leave out what needs addresses without a route")
    options = parser.parse_args()
    way = Way(options.socks, options.relay, options.relay_port if options.relay else 0)
    print(json.dumps(run_checks(way, not options.no_routes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
