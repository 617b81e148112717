"""A request that a session does not take up is asked of another session, never of the same one again;
and one whose stream ends before the reply is there is refused, never ended as if it had been served."""

import contextlib
import select
import socket
import struct

import pytest

from support import servers, socks
from support.deadline import seconds
from support.link_peer import CTRL, DATA, FIN, RST, LinkServer, data, frame
from support.muxsocks import TOKEN

REFUSED = struct.pack(">I", 1)
REPLY = bytes([5, 0, 0, 1, 127, 0, 0, 1, 1, 1])


@pytest.fixture
def peer():
    made = LinkServer(TOKEN)
    yield made
    made.close()


@pytest.fixture
def client(new_pair, peer):
    """`client(**settings)`: a client of the peer alone."""

    def start(**settings):
        proxy = new_pair(client={"server": peer.address, "tls": {"enabled": False, "ca": None},
                                 **settings})
        proxy.start_client(wait_for_link=False)
        return proxy

    return start


def request(proxy):
    connection = socks.open_connection(proxy.socks)
    socks.negotiate(connection)
    connection.sendall(socks.request_bytes("127.0.0.1", 9))
    return connection


def first_readable(sockets):
    return select.select(sockets, [], [], seconds(10))[0][0]


def goaway(last_stream):
    return frame(0, CTRL, b"\x30" + struct.pack(">IBI", last_stream, 3, 30_000) + b"stopping")


def test_a_session_that_has_refused_is_not_asked_again(client, peer):
    proxy = client()
    link = peer.accept()
    with request(proxy) as connection:
        link.send(frame(link.request(), RST, REFUSED))
        assert socks.read_reply(connection, 5).rep == socks.GENERAL_FAILURE
    assert proxy.client.says("takes no more streams of this client")
    # The next request is another one: it is asked.
    with request(proxy) as connection:
        stream = link.request()
        assert stream == 3
        link.send(data(stream, 0, REPLY))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED


def test_another_session_is_asked(client, peer):
    proxy = client(links=2)
    links = [peer.accept(), peer.accept()]
    proxy.wait_for_link(2)
    with request(proxy) as connection:
        asked = first_readable([link.link for link in links])
        first = next(link for link in links if link.link is asked)
        first.send(frame(first.request(), RST, REFUSED))
        second = links[1 - links.index(first)]
        second.send(data(second.request(), 0, REPLY))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED


def test_streams_above_the_last_one_are_asked_elsewhere_at_once(client, peer):
    """Though the server that goes away never says another word."""
    proxy = client()
    old = peer.accept()
    with request(proxy) as below, request(proxy) as above:
        streams = {old.request(), old.request()}
        assert streams == {1, 3}
        old.send(goaway(1))
        new = peer.accept()
        new.send(data(new.request(), 0, REPLY))
        moved = first_readable([below, above])
        assert socks.read_reply(moved).rep == socks.SUCCEEDED
        # The one up to it goes on.
        old.send(data(1, 0, REPLY))
        other = below if moved is above else above
        assert socks.read_reply(other).rep == socks.SUCCEEDED
        other.sendall(b"up")
        assert old.receive_until(lambda stream, flags, payload: payload[8:] == b"up")[0] == 1
        old.send(data(1, len(REPLY), flags=FIN))


REFUSAL = bytes([5, 1, 0, 1, 0, 0, 0, 0, 0, 0])
CANCELLED = struct.pack(">I", 2)


@pytest.mark.parametrize("end", [FIN, RST], ids=["FIN", "RST"])
@pytest.mark.parametrize("size", range(10))
def test_a_stream_that_ends_within_the_reply(client, peer, size, end):
    proxy = client()
    link = peer.accept()
    with request(proxy) as connection:
        stream = link.request()
        last = data(stream, size, flags=FIN) if end == FIN else frame(stream, RST, CANCELLED)
        link.send(data(stream, 0, REPLY[:size]) + last)
        assert servers.read_all(connection) == REFUSAL
    if end == FIN:
        link.receive_until(lambda *found: found == (stream, RST, CANCELLED))
    assert link.works()


def test_a_reply_byte_by_byte_with_the_first_words_of_the_target(client, peer):
    proxy = client()
    link = peer.accept()
    with request(proxy) as connection:
        stream = link.request()
        for offset, byte in enumerate(REPLY[:-1]):
            link.send(data(stream, offset, bytes([byte])))
        assert link.works()
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            assert not connection.recv(1), "nothing of a reply that is not there"
        connection.setblocking(True)
        link.send(data(stream, len(REPLY) - 1, REPLY[-1:] + b"hello", DATA | FIN))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        assert servers.read_all(connection) == b"hello"
        connection.shutdown(socket.SHUT_WR)
        link.receive_until(lambda *found: found[:2] == (stream, FIN))


@pytest.mark.parametrize("nonsense", [b"\x04" + REPLY[1:], REPLY[:3] + b"\x09" + REPLY[4:]])
def test_what_is_no_reply(client, peer, nonsense):
    proxy = client()
    link = peer.accept()
    with request(proxy) as connection:
        stream = link.request()
        link.send(data(stream, 0, nonsense + b"hello"))
        assert servers.read_all(connection) == REFUSAL
    link.receive_until(lambda *found: found == (stream, RST, CANCELLED))
    assert link.works()
