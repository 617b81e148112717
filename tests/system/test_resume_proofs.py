"""Who may join a session: on a plain link, where everything can be overheard, nobody but the two
who know the token. Every other try gets the same answer, in the same time, and disturbs nobody.

MUXSOCKS_LONG=1 measures the time: 10,000 tries of each kind.
"""

import hashlib
import hmac
import os
import random
import socket
import statistics
import struct
import time

import pytest

from support import muxsocks, servers, socks
from support.deadline import seconds, wait_until
from support.recorder import Recorder

LONG = bool(os.environ.get("MUXSOCKS_LONG"))
TRIES = 10_000 if LONG else 50

JOIN_SIZE = 7 + 54
REFUSED = bytes.fromhex("00000000 40 0006 23 01 00000000")
LATER = bytes.fromhex("00000000 40 0006 23 03 000003e8")
JOIN_OK = 0x22


def frames(record):
    """The payloads of the CTRL frames on stream 0, in order."""
    found, at = [], 0
    while at + 7 <= len(record):
        stream, flags, length = struct.unpack_from(">IBH", record, at)
        if stream == 0 and flags == 0x40:
            found.append(bytes(record[at + 7:at + 7 + length]))
        at += 7 + length
    return found


USED = bytes.fromhex("00000000 40 0006 23 02 00000000")


def join(session, number, secret=None, proof=None):
    """A JOIN; its proof by `secret`, or the one given."""
    fields = b"\x02" + session + struct.pack(">I", number)
    if proof is None:
        proof = hmac.digest(secret or os.urandom(32), b"muxsocks 2 client join" + fields, "sha256")
    return struct.pack(">IBH", 0, 0x40, 54) + b"\x21" + fields + proof


def secret_of(link, token):
    """What both sides have computed (docs/PROTOCOL.md), from a recorded handshake and the token."""
    hello, auth = frames(link["up"])[:2]
    server_hello, auth_ok = frames(link["down"])[:2]
    user = auth[3:3 + auth[2]]
    transcript = hashlib.sha256(hello + server_hello + auth[1:2] + bytes([len(user)]) + user +
                                b"\0").digest()
    key = hashlib.sha256(token.encode()).digest()
    return hmac.digest(key, b"muxsocks 2 session secret" + transcript + auth_ok[1:17], "sha256")


def next_frame(link):
    header = servers.read_exactly(link, 7)
    return header + servers.read_exactly(link, struct.unpack(">H", header[5:7])[0])


def ask(server, request):
    """Sends the request as the first bytes of a link; returns the first frame of the answer."""
    with socket.create_connection(server, timeout=seconds(5)) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.sendall(request)
        return next_frame(link)


@pytest.fixture
def overheard(new_pair, target):
    """`overheard(threads)`: a pair with a plain link that was cut once, a conversation over it, and
    the record of all that passed."""
    made = []

    def start(threads, level="debug"):
        proxy = new_pair(server={"threads": threads, "log": {"level": level},
                                 "tls": {"enabled": False, "cert": None, "key": None}})
        proxy.start_server()
        proxy.recorder = Recorder(proxy.server.endpoint)
        made.append(proxy.recorder)
        proxy.client_settings = muxsocks.merge(
            proxy.client_settings,
            {"server": proxy.recorder.address, "tls": {"enabled": False, "ca": None}})
        proxy.start_client()
        proxy.talk = socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
        made.append(proxy.talk)
        say(proxy)
        proxy.recorder.cut()
        say(proxy)
        first = proxy.recorder.links[0]
        proxy.session = frames(first["down"])[1][1:17]
        proxy.recorded = bytes(proxy.recorder.links[1]["up"][:JOIN_SIZE])
        assert proxy.recorded[7] == 0x21 and proxy.recorded[9:25] == proxy.session
        return proxy

    yield start
    for each in reversed(made):
        each.close() if isinstance(each, socket.socket) else each.stop()


def say(proxy):
    proxy.talk.sendall(b"still there?")
    assert servers.read_exactly(proxy.talk, 12, seconds(20)) == b"still there?"


def tries(proxy):
    """What one can make who has heard everything, and knows another user's token."""
    proof = proxy.recorded[-32:]
    return {
        "a stolen id": join(proxy.session, 99),
        "an unknown id": join(os.urandom(16), 99),
        "the recorded proof for another number": join(proxy.session, 99, proof=proof),
        "another user's token": join(proxy.session, 99, secret_of(
            proxy.recorder.links[0], "another-token-of-sufficient-length-0123")),
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_what_follows_a_refused_join_on_the_same_link(overheard, threads):
    """In one write, as PING and streams may be on their way: up to 64 KiB of them are skipped, and
    HELLO begins a new session."""
    proxy = overheard(threads)
    hello = frames(proxy.recorder.links[0]["up"])[0]
    ping = struct.pack(">IBH", 0, 0x08, 8) + b"a token."
    on_a_stream = struct.pack(">IBHQ", 3, 0x04, 30_008, 0) + bytes(30_000)
    with socket.create_connection(proxy.server.endpoint, timeout=seconds(5)) as link:
        link.sendall(join(os.urandom(16), 99) + ping + 2 * on_a_stream +
                     struct.pack(">IBH", 0, 0x40, len(hello)) + hello)
        answers = [next_frame(link) for _ in range(2)]
    assert answers[0] == REFUSED
    assert answers[1][:5] == bytes([0, 0, 0, 0, 0x40]) and answers[1][7] == hello[0], answers
    say(proxy)


def test_a_frame_behind_a_refused_join_may_come_in_pieces(overheard):
    proxy = overheard(1)
    hello = frames(proxy.recorder.links[0]["up"])[0]
    on_a_stream = struct.pack(">IBHQ", 3, 0x04, 30_008, 0) + bytes(30_000)
    with socket.create_connection(proxy.server.endpoint, timeout=seconds(5)) as link:
        link.sendall(join(os.urandom(16), 99) + on_a_stream[:7])
        assert next_frame(link) == REFUSED
        link.sendall(on_a_stream[7:20_000])
        say(proxy)
        link.sendall(on_a_stream[20_000:] + struct.pack(">IBH", 0, 0x40, len(hello)) + hello)
        assert next_frame(link)[7] == hello[0]


def test_more_than_64_kib_behind_a_refused_join_ends_the_link(overheard):
    proxy = overheard(1)
    on_a_stream = struct.pack(">IBHQ", 3, 0x04, 30_008, 0) + bytes(30_000)
    with socket.create_connection(proxy.server.endpoint, timeout=seconds(5)) as link:
        link.sendall(join(os.urandom(16), 99) + 3 * on_a_stream)
        assert next_frame(link) == REFUSED
        assert link.recv(1) == b""
    say(proxy)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_overheard_resumes_nothing(overheard, threads):
    proxy = overheard(threads)
    for name, request in tries(proxy).items():
        assert ask(proxy.server.endpoint, request) == REFUSED, name
        say(proxy)
    assert len(proxy.recorder.links) == 2, "the live link was disturbed"

    # Nor while the session waits for its client.
    proxy.recorder.refusing = True
    proxy.recorder.cut()
    proxy.server.wait_for_log("wait to be resumed", count=2)
    for name, request in tries(proxy).items():
        assert ask(proxy.server.endpoint, request) == REFUSED, name
    proxy.recorder.refusing = False
    say(proxy)


def test_a_recording_joins_nothing(overheard):
    """Its proof is right, but its number has been used."""
    proxy = overheard(1)
    assert ask(proxy.server.endpoint, proxy.recorded) == USED
    say(proxy)
    assert len(proxy.recorder.links) == 2, "the live link was disturbed"


def test_the_secret_is_all_that_it_takes_and_never_on_the_wire(overheard):
    """The other half of the test above: a JOIN made like those is served when the token is known."""
    proxy = overheard(1)
    secret = secret_of(proxy.recorder.links[0], muxsocks.TOKEN)
    key = hashlib.sha256(muxsocks.TOKEN.encode()).digest()
    for link in proxy.recorder.links:
        for part in (secret, key, muxsocks.TOKEN.encode()):
            assert part not in link["up"] and part not in link["down"]
    assert ask(proxy.server.endpoint, join(proxy.session, 99, secret))[7] == JOIN_OK


EXTENSION = struct.pack(">IBH", 7, 0x40, 7) + b"\x80future"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [1, 16])
def test_frames_of_unknown_types_may_come_in_front_of_join(overheard, threads, count):
    proxy = overheard(threads)
    secret = secret_of(proxy.recorder.links[0], muxsocks.TOKEN)
    in_front = EXTENSION * count
    assert ask(proxy.server.endpoint, in_front + join(proxy.session, 99, secret))[7] == JOIN_OK
    assert ask(proxy.server.endpoint, in_front + join(os.urandom(16), 99)) == REFUSED


@pytest.mark.parametrize("in_front", [EXTENSION * 17, struct.pack(">IBH", 0, 0x40, 4090) +
                                      b"\xff" + bytes(4089)], ids=["17", "more than 4 KiB"])
def test_too_many_of_them_end_the_link(overheard, in_front):
    proxy = overheard(1)
    secret = secret_of(proxy.recorder.links[0], muxsocks.TOKEN)
    answer = ask(proxy.server.endpoint, in_front + join(proxy.session, 99, secret))
    assert (answer[7], answer[8]) == (0x31, 1) and b"not allowed at this point" in answer
    say(proxy)


@pytest.mark.parametrize("threads", [1, 2])
def test_refusals_take_the_same_time(overheard, threads):
    proxy = overheard(threads, level="warning")
    taken = {}
    for _ in range(TRIES):
        for name, request in random.sample(list(tries(proxy).items()), 4):
            began = time.perf_counter()
            assert ask(proxy.server.endpoint, request) == REFUSED
            taken.setdefault(name, []).append(time.perf_counter() - began)
    medians = {name: statistics.median(each) * 1e6 for name, each in taken.items()}
    print({name: round(each, 1) for name, each in medians.items()}, "us")
    if LONG:
        assert max(medians.values()) <= 1.05 * min(medians.values()), medians
    say(proxy)


def test_one_link_more_than_its_user_may_have_comes_later(overheard):
    """After a reload that leaves fewer than its sessions had. Only who knows the secret is told."""
    proxy = overheard(1)
    secret = secret_of(proxy.recorder.links[0], muxsocks.TOKEN)
    proxy.server.reload(muxsocks.merge(proxy.server.config, {
        "link": {"max": 1}, "limits": {"user": {"sessions": 1, "links": 2}}}))
    proxy.server.says("configuration reloaded")
    with socket.create_connection(proxy.server.endpoint, timeout=seconds(5)) as second:
        second.sendall(join(proxy.session, 99, secret))
        assert next_frame(second)[7] == JOIN_OK
        assert ask(proxy.server.endpoint, join(proxy.session, 100, secret)) == LATER
        assert ask(proxy.server.endpoint, join(proxy.session, 100)) == REFUSED
        assert proxy.server.says(r"a link for a session of alice@\S+ was refused: its user has 2 "
                                 r"already \(limits.user.links\)")
    # The client ends a session of which it is told that a link has gone which it never had.
    wait_until(lambda: len(proxy.recorder.links) > 2 and len(frames(proxy.recorder.links[2]["down"])) > 1,
               10, proxy.server.log)
    anew = proxy.recorder.links[2]
    session = frames(anew["down"])[1][1:17]
    request = join(session, 99, secret_of(anew, muxsocks.TOKEN))
    assert ask(proxy.server.endpoint, request)[7] == JOIN_OK, "places were not given back"
