"""A session over several links: it opens more where they help, keeps small messages and bulk apart,
and hardly notices when one of them is lost.

A relay makes the path long. Where the links have to be told from each other the server sends its
clients to a second relay for all but the first (`join_at`).
"""

import re
import socket
import threading
import time

import pytest

from support import programs, servers, socks
from support.deadline import seconds, wait_until

DELAY = 25  # ms, one way
ROUND_TRIP = 2 * DELAY / 1000
PATH = [f"delay {DELAY}ms", "rate down 60mbit"]
ANOTHER = r"another link to .* is up, (\d) in all"


class Bulk:
    """Downloads that run until they are stopped."""

    def __init__(self, proxy, source, count=1):
        self.received, self._stopped = 0, False
        self._connections = [socks.connect(proxy.socks, "127.0.0.1", source.port) for _ in range(count)]
        self._threads = [threading.Thread(target=self._read, args=[each]) for each in self._connections]
        for each in self._threads:
            each.start()

    def _read(self, connection):
        while not self._stopped:
            part = connection.recv(1 << 16)
            if not part:
                return
            self.received += len(part)

    def stop(self):
        self._stopped = True
        for each in self._connections:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for each in self._threads:
            each.join()
        for each in self._connections:
            each.close()


@pytest.fixture
def busy(new_pair, target, relay_to):
    """`busy(...)`: a pair over a long path with a conversation and a download, its second link up
    (unless `links` says otherwise)."""
    running = []

    def start(links=2, join_at=False, **options):
        proxy = new_pair(relay=PATH, **options)
        proxy.joins = None
        if join_at:
            proxy.joins = relay_to(proxy.server_endpoint, *PATH)
            proxy.server_settings["join_at"] = proxy.joins.address
        proxy.start()
        proxy.talk = socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
        proxy.talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        proxy.bulk = Bulk(proxy, target(servers.source))
        running.append(proxy)
        if links > 1:
            proxy.client.says(ANOTHER, 20)
        return proxy

    yield start
    for each in running:
        each.bulk.stop()
        each.talk.close()


def say(proxy, timeout=20):
    """How long the answer to a keystroke took, in seconds."""
    begun = time.monotonic()
    proxy.talk.sendall(b"k")
    servers.read_exactly(proxy.talk, 1, seconds(timeout))
    return time.monotonic() - begun


def longest_while(proxy, happens, duration=1.5):
    """The longest answer while something happens in the middle of many keystrokes."""
    times = [say(proxy) for _ in range(5)]
    happens()
    end = time.monotonic() + duration
    while time.monotonic() < end:
        times.append(say(proxy))
    return max(times)


def links_of(program):
    """What SIGUSR1 tells of each link: number to (what it takes, bytes arrived, bytes come)."""
    program.statistics()
    found = {}
    pattern = r"link (\d+) (?:to|of) \S+ takes (.*?): .* (\d+) bytes arrived, (\d+) came"
    for number, takes, sent, received in re.findall(pattern, program.log()):
        found[int(number)] = (takes, int(sent), int(received))
    return found



def test_a_short_path_has_one_link(new_pair, target):
    proxy = new_pair(relay=["rate down 100mbit"]).start()
    up = proxy.client.says(r"link to .* is up")[0]
    if float(re.search(r"round trip ([\d.]+) ms", up).group(1)) > 5:
        pytest.skip("this machine is too busy for a short path")
    bulk = Bulk(proxy, target(servers.source))
    talk = socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
    try:
        wait_until(lambda: bulk.received > 24 << 20, 20, "a download for some seconds")
        assert list(links_of(proxy.client)) == [0]
        assert not proxy.client.lines(ANOTHER)
    finally:
        bulk.stop()
        talk.close()


def test_bulk_beside_others_on_a_long_path_gets_a_link_of_its_own(busy):
    proxy = busy()

    def apart():
        takes = {number: what for number, (what, _, _) in links_of(proxy.server).items()}
        return sorted(what.split(" by ")[0] for what in takes.values()) == ["bulk", "small frames"]

    wait_until(apart, 10, lambda: links_of(proxy.server))
    before = links_of(proxy.server)
    received = proxy.bulk.received
    for _ in range(20):
        say(proxy)
    wait_until(lambda: proxy.bulk.received > received + (4 << 20), 20, "more of the download")
    after = links_of(proxy.server)
    moved = {number: after[number][1] - before[number][1] for number in after}
    bulk = next(number for number, (takes, _, _) in after.items() if takes.startswith("bulk"))
    small = next(number for number in after if number != bulk)
    assert moved[bulk] > 3 << 20 and moved[small] < 100_000, (moved, after)


def test_with_a_maximum_of_one_there_is_exactly_one_link(busy):
    proxy = busy(links=1, client={"link": {"max": 1}})
    wait_until(lambda: proxy.bulk.received > 24 << 20, 30, "a download for some seconds")
    say(proxy)
    assert list(links_of(proxy.client)) == [0] and list(links_of(proxy.server)) == [0]
    assert proxy.relay.stats()["accepted"] == 1


def test_the_servers_maximum_binds_too(busy):
    proxy = busy(links=1, server={"link": {"max": 1}})
    wait_until(lambda: proxy.bulk.received > 24 << 20, 30, "a download for some seconds")
    assert proxy.relay.stats()["accepted"] == 1


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_link_that_is_reset_stalls_a_keystroke_for_hardly_more_than_its_way(busy, which):
    proxy = busy(join_at=True)
    relay = proxy.relay if which == "first" else proxy.joins
    longest = longest_while(proxy, lambda: relay.do("cut rst both all"))
    # What was under way is sent again at once: two ways, and what this machine needs for them. A new
    # link would have taken four.
    assert longest < 2 * ROUND_TRIP + seconds(0.25), longest
    proxy.client.says(r"a link to .* has ended: .*; 1 others carry the session")
    assert not proxy.client.lines("wait to be resumed")


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_link_that_is_swallowed_stalls_a_keystroke_for_one_doubt(busy, which):
    proxy = busy(join_at=True)
    relay = proxy.relay if which == "first" else proxy.joins
    longest = longest_while(proxy, lambda: relay.do("swallow both on"), 4)
    # A second without a sign of life, a round trip in which others answer, and its own way: what the
    # client asks then makes the server doubt the link as well.
    assert longest < 1 + 3 * ROUND_TRIP + seconds(0.3), longest
    assert not proxy.client.lines("wait to be resumed")


def test_all_links_lost_at_once_are_one_outage(busy):
    proxy = busy()
    proxy.relay.do("cut rst both all")
    say(proxy)
    proxy.client.says(r"link to .* is back")
    received = proxy.bulk.received
    wait_until(lambda: proxy.bulk.received > received + (1 << 20), 20, "the download to go on")


def test_links_are_made_where_the_server_says(busy):
    proxy = busy(join_at=True)
    assert (proxy.relay.stats()["accepted"], proxy.joins.stats()["accepted"]) == (1, 1)
    # In this order: a link that is dialled meanwhile, beside one that stands, is not cut in the middle of
    # that. A dial there that fails would be a reason to dial elsewhere.
    proxy.joins.do("cut rst both all")
    proxy.relay.do("cut rst both all")
    proxy.client.says(r"link to .* is back")
    say(proxy)
    assert proxy.relay.stats()["accepted"] == 1


def test_where_the_server_says_in_vain_links_are_made_where_the_client_knows_it(busy):
    proxy = busy(links=1, server={"join_at": f"127.0.0.1:{programs.free_port()}"})
    proxy.client.says(ANOTHER, 20)
    assert proxy.relay.stats()["accepted"] == 2
    proxy.relay.do("cut rst both all")
    proxy.client.says(r"link to .* is back")
    say(proxy)
