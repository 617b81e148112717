"""Bad input ends where it came in, and harms nobody else."""

import random
import socket
import ssl
import struct

import pytest

from support import servers, socks
from support.deadline import seconds, wait_until

TLS_CLIENT_HELLO = bytes.fromhex("160301") + b"\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(194)

NOT_SOCKS5 = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "an HTTP CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    "TLS": TLS_CLIENT_HELLO,
    "SOCKS4": b"\x04\x01\x00\x50\x7f\x00\x00\x01user\x00",
    "no methods": b"\x05\x00",
    "methods that nobody has": b"\x05\x03\x01\x03\x80",
    "zeros": bytes(600),
    "a wrong version in the request": b"\x05\x01\x00\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
    "an empty name": b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50",
    "a credential nobody asked for": b"\x05\x01\x00\x01\x04user\x04pass",
}


def ends(connection, timeout=8):
    """Reads until the connection is over, by FIN or RST; fails if it is not in time."""
    connection.settimeout(seconds(timeout))
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        raise AssertionError("the connection stays open") from None


@pytest.fixture
def witness(pair, target):
    """A running pair with a stream that must live through everything."""
    proxy = pair(server={"timeouts": {"handshake": "1s"}}, client={"timeouts": {"request": "1s"}})
    proxy.echo = target(servers.echo)
    connection = socks.connect(proxy.socks, "127.0.0.1", proxy.echo.port)

    def still_works():
        connection.sendall(b"alive?")
        assert servers.read_exactly(connection, 6) == b"alive?"
        assert socks.rep_for(proxy.socks, "127.0.0.1", proxy.echo.port) == socks.SUCCEEDED
        assert proxy.client.running() and proxy.server.running()

    proxy.still_works = still_works
    yield proxy
    still_works()
    connection.close()


@pytest.mark.parametrize("garbage", NOT_SOCKS5.values(), ids=NOT_SOCKS5.keys())
def test_garbage_on_the_socks_port(witness, garbage):
    before = witness.client.sockets()
    with socks.open_connection(witness.socks) as connection:
        connection.sendall(garbage)
        ends(connection)
    wait_until(lambda: witness.client.sockets() == before, 5, "its descriptor to be closed")


@pytest.mark.parametrize("part", [b"", b"\x05", b"\x05\x01", b"\x05\x01\x00", b"\x05\x01\x00\x05\x01",
                                  b"\x05\x01\x00\x05\x01\x00\x03\x0bexam"])
def test_a_request_that_never_ends(witness, part):
    with socks.open_connection(witness.socks) as connection:
        connection.sendall(part)
        ends(connection)


def test_random_bytes_on_the_socks_port(witness):
    dice = random.Random(11)
    for _ in range(100):
        with socks.open_connection(witness.socks) as connection:
            try:
                connection.sendall(dice.randbytes(dice.randrange(1, 400)))
                connection.shutdown(socket.SHUT_WR)
                ends(connection)
            except OSError:
                pass


LINK_GARBAGE = {
    "random bytes": random.Random(3).randbytes(3000),
    "an HTTP request": NOT_SOCKS5["an HTTP request"],
    "a broken ClientHello": TLS_CLIENT_HELLO,
    "a SOCKS5 greeting": b"\x05\x01\x00",
    "a plain frame": struct.pack(">IBH", 0, 0x40, 1) + b"\x01",
}


@pytest.mark.parametrize("garbage", LINK_GARBAGE.values(), ids=LINK_GARBAGE.keys())
def test_garbage_on_the_link_port(witness, garbage):
    with socket.create_connection(witness.server_endpoint) as connection:
        connection.sendall(garbage)
        ends(connection)


def test_a_link_that_says_nothing(witness):
    with socket.create_connection(witness.server_endpoint) as connection:
        ends(connection)


def tls_link(pair, alpn="muxsocks/2"):
    context = ssl.create_default_context(cafile=str(pair.keys.ca))
    if alpn:
        context.set_alpn_protocols([alpn])
    raw = socket.create_connection(pair.server_endpoint, timeout=seconds(10))
    return context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_another_alpn_is_refused(witness):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with tls_link(witness, "h2") as link:
            ends(link)
            raise ConnectionError("TLS 1.3 told the refusal after the handshake")


def test_an_older_tls_is_refused(witness):
    context = ssl.create_default_context(cafile=str(witness.keys.ca))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["muxsocks/2"])
    with socket.create_connection(witness.server_endpoint) as raw:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(raw, server_hostname="127.0.0.1")


FRAMES = {
    "random bytes": random.Random(4).randbytes(5000),
    "a reserved flag": struct.pack(">IBH", 0, 0x80, 0),
    "a stream before HELLO": struct.pack(">IBHQ", 1, 0x05, 8, 0),
    "PING before HELLO": struct.pack(">IBH", 0, 0x08, 8) + bytes(8),
    "an empty HELLO": struct.pack(">IBH", 0, 0x40, 1) + b"\x01",
    "AUTH first": struct.pack(">IBH", 0, 0x40, 35) + b"\x02\x00\x00" + bytes(32),
    "JOIN of nothing": struct.pack(">IBH", 0, 0x40, 54) + b"\x21\x02" + bytes(52),
    "half a frame": struct.pack(">IBH", 0, 0x40, 1000) + bytes(10),
    "a HELLO of 64 KiB": struct.pack(">IBH", 0, 0x40, 65535) + b"\x01" + bytes(65534),
}


@pytest.mark.parametrize("frames", FRAMES.values(), ids=FRAMES.keys())
def test_garbage_inside_tls(witness, frames):
    before = witness.server.sockets()
    with tls_link(witness) as link:
        link.sendall(frames)
        ends(link)
    wait_until(lambda: witness.server.sockets() == before, 5, "its descriptor to be closed")


def test_many_strangers_at_once(witness):
    """More than unauthenticated_per_address; the user gets in all the same when they are gone."""
    strangers = [socket.create_connection(witness.server_endpoint) for _ in range(60)]
    witness.still_works()
    for stranger in strangers:
        ends(stranger)
        stranger.close()


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture
def balanced(new_pair):
    """A server that load balancers on loopback connect to."""
    proxy = new_pair(server={"proxy_protocol": {"from": ["127.0.0.0/8"]}})
    proxy.start_server()
    return proxy


def proxy_header(address, tlvs=b""):
    packed = socket.inet_pton(socket.AF_INET6, address)
    return (SIGNATURE + b"\x21\x21" + struct.pack(">H", 36 + len(tlvs)) + packed + bytes(16) +
            bytes(4) + tlvs)


def test_a_proxy_header_may_come_in_pieces_and_with_more_behind_it(balanced):
    context = ssl.create_default_context(cafile=str(balanced.keys.ca))
    for header in (proxy_header("2001:db8::7"), proxy_header("2001:db8::7", b"\x04\0\x10" + bytes(16))):
        raw = socket.create_connection(balanced.server_endpoint, timeout=seconds(10))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(header)):
            raw.sendall(header[at:at + 1])
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as link:
            assert link.version() == "TLSv1.3"


def test_a_client_behind_a_load_balancer_is_known_by_its_ipv4_address(balanced):
    """Also where that comes in the form of IPv6, in which all such clients would be one /64."""
    with socket.create_connection(balanced.server_endpoint) as link:
        link.sendall(proxy_header("::ffff:192.0.2.1") + NOT_SOCKS5["an HTTP request"])
        ends(link)
    balanced.server.wait_for_log(r"link from 192\.0\.2\.1 ")


def test_what_comes_from_the_wire_is_escaped_in_the_log(witness):
    name = b"evil\x1b[31m\nname.test"
    with socks.open_connection(witness.socks) as connection:
        socks.negotiate(connection)
        connection.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + b"\x00\x50")
        connection.settimeout(seconds(8))
        connection.recv(100)
    for program in witness.programs:
        text = program.log_path.read_bytes()
        assert b"\x1b" not in text
        assert not any(line.startswith(b"name.test") for line in text.splitlines())
