"""The checker itself: it must find every fault that a proxy could have."""

import socket
import struct
import threading

import pytest

from support import servers
from support.exact import transfers


def faulty_proxy(fault):
    """A SOCKS5 proxy that passes what comes back from the target through `fault(data, offset)`.

    The fault returns the bytes to pass on, or a function that ends the client's connection.
    """

    def serve(client):
        servers.read_exactly(client, 3)
        client.sendall(b"\x05\x00")
        request = servers.read_exactly(client, 10)
        upstream = socket.create_connection(
            (socket.inet_ntoa(request[4:8]), struct.unpack(">H", request[8:])[0]))
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        upwards = threading.Thread(target=pass_on, args=(client, upstream), daemon=True)
        upwards.start()
        offset = 0
        while data := upstream.recv(65536):
            passed = fault(data, offset)
            offset += len(data)
            if callable(passed):
                passed(client)
                servers.reset(upstream)
                return
            client.sendall(passed)
        client.shutdown(socket.SHUT_WR)
        upwards.join()

    def pass_on(client, upstream):
        try:
            while data := client.recv(65536):
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    return serve


def flip_a_bit(data, offset):
    if offset <= 50_000 < offset + len(data):
        changed = bytearray(data)
        changed[50_000 - offset] ^= 1
        return bytes(changed)
    return data


def test_right_bytes_are_right(target):
    proxy = target(faulty_proxy(lambda data, offset: data))
    found = transfers(socks=proxy.address, transfers=12, up="0-300KiB", down="0-300KiB")
    assert found["right"] and found["ok"] == 12, found


@pytest.mark.parametrize("what, fault", [
    ("wrong", flip_a_bit),
    ("wrong", lambda data, offset: data[1:] if offset == 0 else data),
    ("extra", lambda data, offset: data + b"x" if offset + len(data) == 100_000 else data),
    ("early", lambda data, offset: data[:-1] if offset + len(data) == 100_000 else data),
    ("reset", lambda data, offset: servers.reset if offset >= 40_000 else data),
], ids=["a flipped bit", "a lost byte", "a byte too many", "the last byte lost", "a reset"])
def test_faults_are_found(target, what, fault):
    proxy = target(faulty_proxy(fault))
    found = transfers(socks=proxy.address, transfers=3, up=1000, down=100_000,
                      order="client-first")
    assert not found["right"]
    assert found[what] == 3, found


def test_a_transfer_without_an_end_is_found(target):
    found = transfers(socks=target(servers.hold).address, transfers=2, deadline="300ms")
    assert not found["right"]
