"""UDP by HTTP's Upgrade (RFC 9298, connect-udp): its request, and datagrams in capsules."""

import socket

from . import deadline, http, servers


def integer(value):
    """RFC 9000, section 16."""
    for size, prefix in ((1, 0), (2, 1), (4, 2), (8, 3)):
        if value < 1 << (8 * size - 2):
            return (value | prefix << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(value)


def read_integer(connection):
    first = servers.read_exactly(connection, 1)
    size = 1 << (first[0] >> 6)
    rest = servers.read_exactly(connection, size - 1) if size > 1 else b""
    return int.from_bytes(bytes([first[0] & 0x3f]) + rest, "big")


def capsule(payload, kind=0, context=0):
    return integer(kind) + integer(len(payload) + 1) + integer(context) + payload


def read_datagram(connection, timeout=20):
    connection.settimeout(deadline.seconds(timeout))
    assert read_integer(connection) == 0
    length = read_integer(connection)
    assert read_integer(connection) == 0
    return servers.read_exactly(connection, length - 1) if length > 1 else b""


def request(host, port, proxy, fields="", upgrade="connect-udp"):
    return (f"GET /.well-known/masque/udp/{host.replace(':', '%3A')}/{port}/ HTTP/1.1\r\nHost: {proxy.client.address}\r\n"
            f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\nCapsule-Protocol: ?1\r\n{fields}\r\n").encode()


def open_tunnel(proxy, host, port, fields=""):
    connection = socket.create_connection(proxy.socks, timeout=deadline.seconds(20))
    connection.sendall(request(host, port, proxy, fields))
    head = http.read_head(connection)
    assert head.startswith("HTTP/1.1 101 ") and "Upgrade: connect-udp\r\n" in head and "Capsule-Protocol: ?1\r\n" in head
    return connection


def ask(connection, payload, tries=20):
    """The answer to a datagram, which may be lost: it is sent again."""
    for _ in range(tries):
        connection.sendall(capsule(payload))
        try:
            return read_datagram(connection, 1)
        except TimeoutError:
            continue
    raise AssertionError("no answer")
