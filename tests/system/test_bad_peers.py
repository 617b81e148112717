"""Peers that have authenticated and then break the rules: the session ends with CLOSE and a reason in
the log, or the one stream is reset; nobody else notices."""

import struct

import pytest

from support import dns_server, servers, socks
from support.link_peer import CTRL, DATA, FIN, PING, RST, LinkPeer, data, frame, opening
from support.muxsocks import TOKEN

PLAIN_SERVER = {"tls": {"enabled": False, "cert": None, "key": None}}
PLAIN_CLIENT = {"tls": {"enabled": False, "ca": None}}
PROTOCOL_ERROR, FLOOD = 1, 2
CANCELLED, FLOW_CONTROL, INTERNAL = 2, 3, 4


@pytest.fixture
def server(pair, target, dns):
    """A server with an honest client, whose stream has to live through everything."""
    dns.records["never.test"] = dns_server.Answer(silent=True)
    proxy = pair(server={**PLAIN_SERVER, "dns": {"servers": [dns.address]},
                         "timeouts": {"request": "500ms"}}, client=PLAIN_CLIENT)
    proxy.echo = target(servers.echo)
    witness = socks.connect(proxy.socks, "127.0.0.1", proxy.echo.port)
    yield proxy
    witness.sendall(b"alive?")
    assert servers.read_exactly(witness, 6) == b"alive?"
    assert len(proxy.client.lines(r"is up")) == 1
    witness.close()


@pytest.fixture
def peer(server):
    made = LinkPeer(server.server.endpoint, "alice", TOKEN)
    yield made
    made.close()


FAULTS = {
    "illegal flags": (frame(1, 0x09), "illegal combination of flags"),
    "a reserved flag": (frame(0, 0x80), "illegal combination of flags"),
    "SYN alone": (frame(1, 0x01), "illegal combination of flags"),
    "DATA on stream 0": (data(0, 0, b"x"), "on stream 0"),
    "PING on a stream": (frame(1, PING, bytes(8)), "other than 0"),
    "DATA without its offset": (frame(1, DATA, b"x"), "length does not fit"),
    "an even id": (opening(2), "never opened"),
    "SYN with another offset": (data(1, 1, b"x", 0x05), "another frame than the first one"),
    "an offset above 2^62": (data(1, 2**62, b"x"), "offset above 2^62"),
    "ids left out": (opening(2**31 + 1), "more stream ids at once"),
    "a second HELLO": (frame(0, CTRL, b"\x01" + bytes(29)), "not allowed at this point"),
    "a JOIN": (frame(0, CTRL, b"\x21" + bytes(53)), "not allowed at this point"),
    "an ACK of nothing": (frame(0, CTRL, b"\x20" + struct.pack(">Q", 1)), "never sent"),
    "a DROP of its own link": (frame(0, CTRL, b"\x24" + bytes(12)), "the one that said so"),
    "an unknown type": (frame(0, CTRL, b"\x7f"), "unknown type below 0x80"),
    "CREDIT without end": (opening(1) + frame(1, CTRL, b"\x10" + b"\xff" * 8), "above 2^62"),
    "a short CREDIT": (opening(1) + frame(1, CTRL, b"\x10"), "fields that do not fit"),
}


@pytest.mark.parametrize("received, reason", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_ends_the_session_with_its_reason(server, peer, received, reason):
    peer.send(received)
    code, text = peer.receive_close()
    assert code == PROTOCOL_ERROR and reason in text, text
    server.server.wait_for_log(f"alice@127.0.0.1 closed: .*{reason.replace('^', '.')}")


def test_a_flood_ends_the_session_with_its_reason(server, peer):
    try:
        peer.send(frame(0, PING, bytes(8)) * 1000)
    except ConnectionError:
        pass
    code, text = peer.receive_close()
    assert code == FLOOD and "too many PING" in text, text
    server.server.wait_for_log("closed: .*too many PING")


QUERY = socks.request_bytes("never.test", 80)
SIZE = len(QUERY)
STREAM_FAULTS = {
    "DATA beyond the credit": (b"".join(data(1, SIZE + 60_000 * i, bytes(60_000))
                                        for i in range(5)), FLOW_CONTROL),
    "DATA behind FIN": (data(1, SIZE, b"x", DATA | FIN) + data(1, SIZE + 1, b"y"), INTERNAL),
    "two ends": (data(1, SIZE + 1, flags=FIN) + data(1, SIZE, flags=FIN), INTERNAL),
}


@pytest.mark.parametrize("received, code", STREAM_FAULTS.values(), ids=STREAM_FAULTS.keys())
def test_a_fault_of_one_stream_resets_that_stream(server, peer, received, code):
    # Nothing of it is consumed as long as the target is not connected.
    peer.send(opening(1, QUERY) + received)
    _, _, payload = peer.receive_until(lambda stream, flags, payload: flags == RST)
    assert struct.unpack(">I", payload) == (code,)
    assert peer.works()
    # The next stream is served as if nothing had been.
    peer.send(opening(3, socks.request_bytes("127.0.0.1", server.echo.port)))
    _, _, reply = peer.receive_until(lambda stream, flags, payload: (stream, flags) == (3, DATA))
    assert reply[9] == socks.SUCCEEDED


REQUEST = socks.request_bytes("127.0.0.1", 80)
CANCEL = (RST, struct.pack(">I", CANCELLED))


@pytest.mark.parametrize("received, answer", [
    (opening(1), CANCEL),
    (opening(1, REQUEST[:5]), CANCEL),
    (opening(1) + data(1, 0, flags=FIN), CANCEL),
    (opening(1, REQUEST[:5], FIN), CANCEL),
    (opening(1, b"GET / HTTP/1.1\r\n"),
     (DATA | FIN, bytes(8) + bytes([5, socks.GENERAL_FAILURE, 0, 1, 0, 0, 0, 0, 0, 0]))),
    (opening(1, socks.request_bytes("127.0.0.1", 80, cmd=socks.UDP_ASSOCIATE)),
     (DATA | FIN, bytes(8) + bytes([5, socks.COMMAND_NOT_SUPPORTED, 0, 1, 0, 0, 0, 0, 0, 0]))),
], ids=["none", "half of one", "an end for one", "half and an end", "garbage", "another command"])
def test_a_stream_without_a_right_request_ends(server, peer, received, answer):
    peer.send(received)
    stream, flags, payload = peer.receive_until(lambda stream, flags, payload: stream == 1)
    assert (flags, payload) == answer
    assert peer.works()


@pytest.mark.parametrize("request_bytes, rep", [
    (b"\x04\x02\x00\x09", socks.GENERAL_FAILURE),
    (b"\x05\x02\x00\x09", socks.ADDRESS_TYPE_NOT_SUPPORTED),
    (b"\x05\x02\x00\x03\x00", socks.GENERAL_FAILURE),
    (b"\x05\x02\x00\x03\x05ab\x1f", socks.GENERAL_FAILURE),
    (b"\x05\x02\x00\x03\x01a\x00\x50", socks.COMMAND_NOT_SUPPORTED),
], ids=["VER", "ATYP", "an empty name", "a control character in a name", "CMD"])
def test_the_first_fault_of_a_request_in_the_order_of_its_bytes_is_answered(server, peer,
                                                                            request_bytes, rep):
    """CMD, which is wrong in all of them, comes last. What is wrong is not waited behind for more."""
    peer.send(opening(1, request_bytes))
    stream, flags, payload = peer.receive_until(lambda stream, flags, payload: stream == 1)
    assert (flags, payload) == (DATA | FIN, bytes(8) + bytes([5, rep, 0, 1, 0, 0, 0, 0, 0, 0]))


def test_what_is_unknown_and_may_be_is_ignored(peer):
    peer.send(frame(0, CTRL, b"\x80future") + frame(7, CTRL, b"\xff"))
    assert peer.works()
