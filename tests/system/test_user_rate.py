"""A user's rate (users[].rate) holds for all of its streams, sessions and threads together, and for
nobody else."""

import contextlib
import socket
import time

import pytest
from support import servers, socks
from support.flows import Flows

TOKENS = {name: f"{name}-has-a-token-of-thirty-two-characters" for name in ("guest", "honest")}
RATE = 8_000_000  # Bits a second.


def users(**rate):
    guest = {"name": "guest", "token": TOKENS["guest"]}
    return [{**guest, "rate": rate} if rate else guest, {"name": "honest", "token": TOKENS["honest"]}]


def pair_of(new_pair, user, client=None, **options):
    return new_pair(client={"tls": {"enabled": False}, "auth": {"user": user, "token": TOKENS[user]},
                            **(client or {})}, **options)


@pytest.fixture
def toll_road(new_pair):
    """A server of two threads with a guest who has this rate, and a client of the guest's with three
    sessions."""
    def start(**rate):
        proxy = pair_of(new_pair, "guest", client={"sessions": 3, "threads": 1},
                        server={"users": users(**rate), "threads": 2, "tls": {"enabled": False}})
        proxy.start_server()
        proxy.start_client()
        proxy.wait_for_link(3)
        return proxy
    return start


@contextlib.contextmanager
def flows(proxy, target, count, reads=True):
    all_of_them = Flows([socks.connect(proxy.socks, "127.0.0.1", target.port) for _ in range(count)],
                        reads)
    yield all_of_them
    all_of_them.close()


def bits(sizes):
    return 8 * sum(sizes)


def test_downloads(toll_road, new_pair, target):
    """No faster than the rate, alike for each stream; other users go on as ever."""
    proxy = toll_road(down="8Mbit")
    source = target(servers.source)
    with flows(proxy, source, 15) as downloads:
        downloads.run(1)
        took, sizes = downloads.run(4)
        assert RATE * took / 10 < bits(sizes) < RATE * (took + 1), (took, sizes)
        assert min(sizes) > sum(sizes) / len(sizes) / 2, sizes
        honest = pair_of(new_pair, "honest")
        honest.client_settings["server"] = proxy.server.address
        honest.start_client()
        with socks.connect(honest.socks, "127.0.0.1", source.port) as quick:
            # The rate would take 20 seconds.
            servers.read_exactly(quick, 20 << 20, 60)


def test_uploads(toll_road, target):
    proxy = toll_road(up="8Mbit")
    with flows(proxy, target(servers.sink), 4, reads=False) as uploads:
        uploads.run(2)
        took, sizes = uploads.run(4)
        # What waits in sockets of this machine is no matter of the rate.
        assert RATE * took / 10 < bits(sizes) < RATE * (took + 2), (took, sizes)


def test_many_small_uploads(toll_road, new_pair, target):
    """Of each stream a head goes unasked, and no more; another user's upload, larger than all, is through meanwhile."""
    proxy = toll_road(up="8Mbit")
    sink = target(servers.sink)
    size, begun = 200_000, time.monotonic()
    uploads = [socks.connect(proxy.socks, "127.0.0.1", sink.port) for _ in range(20)]
    for each in uploads:
        each.sendall(bytes(size))
        each.shutdown(socket.SHUT_WR)
    honest = pair_of(new_pair, "honest")
    honest.client_settings["server"] = proxy.server.address
    honest.start_client()
    with socks.connect(honest.socks, "127.0.0.1", sink.port) as quick:
        quick.sendall(bytes(20 << 20))
        quick.shutdown(socket.SHUT_WR)
        assert servers.read_all(quick) == b"%d" % (20 << 20)
    for each in uploads:
        with each:
            assert servers.read_all(each) == b"%d" % size
    # All but what is kept of the rate for a moment, and 4 KiB of each.
    assert time.monotonic() - begun > 8 * (len(uploads) * (size - 4096) - RATE / 8 / 5) / RATE * 0.95


def test_a_keystroke_beside_downloads(toll_road, target):
    """It waits for none of them."""
    proxy = toll_road(down="8Mbit")
    talk = socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
    with flows(proxy, target(servers.source), 6) as downloads:
        downloads.run(2)
        for _ in range(20):
            talk.sendall(b"x")
            assert servers.read_exactly(talk, 1) == b"x"
        took, sizes = downloads.run(1)
        assert bits(sizes) > 0


def test_a_reload_changes_the_rate_of_what_runs(toll_road, target):
    proxy = toll_road(down="1Mbit")
    with flows(proxy, target(servers.source), 3) as downloads:
        downloads.run(2)
        slow = bits(downloads.run(2)[1])
        assert slow < 4_000_000
        proxy.server.reload({**proxy.server.config, "users": users(down="100Mbit")})
        proxy.server.wait_for_log("configuration reloaded")
        took, sizes = downloads.run(3)
        assert bits(sizes) > 2 * slow
        proxy.server.reload({**proxy.server.config, "users": users()})
        proxy.server.wait_for_log("configuration reloaded", count=2)
        assert bits(downloads.run(2)[1]) > 2 * slow
