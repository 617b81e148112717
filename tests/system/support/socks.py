"""A SOCKS5 client for tests, byte for byte from RFC 1928 and RFC 1929, so that every field and
every order of events is the test's own choice."""

import ipaddress
import socket
import struct
from dataclasses import dataclass

from . import deadline
from .servers import read_exactly

CONNECT, BIND, UDP_ASSOCIATE = 1, 2, 3
NO_AUTHENTICATION, USERNAME_PASSWORD, NO_ACCEPTABLE_METHODS = 0, 2, 0xFF

SUCCEEDED = 0
GENERAL_FAILURE = 1
NOT_ALLOWED = 2
NETWORK_UNREACHABLE = 3
HOST_UNREACHABLE = 4
CONNECTION_REFUSED = 5
TTL_EXPIRED = 6
COMMAND_NOT_SUPPORTED = 7
ADDRESS_TYPE_NOT_SUPPORTED = 8


@dataclass
class Reply:
    rep: int
    bnd_addr: str
    bnd_port: int


def address_field(host):
    """ATYP and DST.ADDR."""
    try:
        packed = ipaddress.ip_address(host).packed
        return (b"\x01" if len(packed) == 4 else b"\x04") + packed
    except ValueError:
        name = host.encode()
        return b"\x03" + bytes([len(name)]) + name


def request_bytes(host, port, cmd=CONNECT):
    return b"\x05" + bytes([cmd]) + b"\x00" + address_field(host) + struct.pack(">H", port)


def open_connection(proxy, timeout=30):
    """A TCP connection to the SOCKS port; `proxy` is (host, port)."""
    return socket.create_connection(proxy[:2], timeout=deadline.seconds(timeout))


def negotiate(connection, user=None, password=None):
    """Method negotiation and, with a user, RFC 1929. Raises PermissionError when refused."""
    method = USERNAME_PASSWORD if user is not None else NO_AUTHENTICATION
    connection.sendall(bytes([5, 1, method]))
    answer = read_exactly(connection, 2)
    if answer != bytes([5, method]):
        raise PermissionError(f"method {method} was answered with {answer!r}")
    if user is not None:
        name, secret = user.encode(), password.encode()
        connection.sendall(bytes([1, len(name)]) + name + bytes([len(secret)]) + secret)
        if read_exactly(connection, 2) != b"\x01\x00":
            raise PermissionError("the user was refused")


def read_reply(connection, timeout=30):
    timeout = deadline.seconds(timeout)
    version, rep, reserved, atyp = read_exactly(connection, 4, timeout)
    assert (version, reserved) == (5, 0), "not a SOCKS5 reply"
    if atyp == 3:
        length = read_exactly(connection, 1, timeout)[0]
        address = read_exactly(connection, length, timeout).decode()
    else:
        address = str(ipaddress.ip_address(read_exactly(connection, {1: 4, 4: 16}[atyp], timeout)))
    return Reply(rep, address, struct.unpack(">H", read_exactly(connection, 2, timeout))[0])


def ask(proxy, host, port, cmd=CONNECT, timeout=30, user=None, password=None):
    """A whole request; returns the connection and the reply, whatever it is."""
    connection = open_connection(proxy, timeout)
    try:
        negotiate(connection, user, password)
        connection.sendall(request_bytes(host, port, cmd))
        return connection, read_reply(connection, timeout)
    except BaseException:
        connection.close()
        raise


def connect(proxy, host, port, **options):
    """A connection to the target that must succeed."""
    connection, reply = ask(proxy, host, port, **options)
    if reply.rep != SUCCEEDED:
        connection.close()
        raise AssertionError(f"REP {reply.rep} for {host}:{port}")
    return connection


def rep_for(proxy, host, port, **options):
    """The REP alone; the connection is closed."""
    connection, reply = ask(proxy, host, port, **options)
    connection.close()
    return reply.rep
