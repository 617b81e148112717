"""The defaults of limits.user beside what one person needs at most, whom they must never meet: a browser with
500 tabs, and BitTorrent with 2,000 peers. There is a tenth of the connections here, counted tenfold; what
does not grow with them (downloads that go on, the names of a page, links) is there in full."""

import contextlib
import json
import re
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from support import dns_server, programs, servers, socks, udp
from support.deadline import seconds, wait_until

PART = 10
TAB_STREAMS = 1_500 // PART  # 500 tabs, three connections each
PEER_STREAMS = 2_000 // PART
DEAD_PEERS = 300 // PART  # 30 a second, each for the 10 seconds of timeouts.connect
DOWNLOADS = 20  # that go on at once, of those of both, at 160 Mbit/s
NAMES = 50  # that a page asks for at once
DEVICES = 5
UDP_SOCKETS = 25  # a tun device brings one for each of a machine's; a browser and BitTorrent have a few
MEBIBYTE = 1 << 20
SMALL_MACHINE = 256 * MEBIBYTE  # memory.total of a machine with 1 GiB, which is limits.user.memory


def defaults():
    """As docs/CONFIGURATION.md has them, which a unit test compares with the code."""
    text = (Path(__file__).resolve().parents[2] / "docs/CONFIGURATION.md").read_text(encoding="utf-8")
    found = dict(re.findall(r'^\| `limits\.user\.(\w+)` \| [^|]+ \| `?"?([^`"|]+?)"?`? \|', text, re.MULTILINE))
    sessions, link_max = int(found["sessions"]), 4
    found.update(links=sessions * link_max + sessions, memory=SMALL_MACHINE,
                 detached_memory=int(found["detached_memory"].removesuffix("MiB")) * MEBIBYTE)
    return {name: int(value) for name, value in found.items()}


def paced(connection):
    """A megabyte a second."""
    while True:
        connection.sendall(bytes(65_536))
        time.sleep(0.0625)


class Watch:
    """The most that the server has shown of each figure."""

    def __init__(self, port):
        self.port, self.most = port, {}

    def look(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/status", timeout=seconds(10)) as answer:
            found = {name: value for name, value in json.load(answer).items() if isinstance(value, int)}
        for name, value in found.items():
            self.most[name] = max(value, self.most.get(name, 0))
        return found

    def until(self, reached, what):
        return wait_until(lambda: reached(self.look()), 60, lambda: f"{what}; it is {self.look()}")

    def stay(self, time_to_stay):
        end = time.monotonic() + time_to_stay
        while time.monotonic() < end:
            self.look()
            time.sleep(0.1)


def read_on(connection):
    with contextlib.suppress(OSError):
        while connection.recv(1 << 16):
            pass


def begin(proxy, host, port):
    """A request that nobody answers."""
    connection = socks.open_connection(proxy)
    socks.negotiate(connection)
    connection.sendall(socks.request_bytes(host, port))
    return connection


@pytest.mark.slow
def test_no_default_is_in_the_way_of_one_person(new_pair, target, dns):
    watch = Watch(programs.free_port())
    proxy = new_pair(relay=[], server={
        "status": {"listen": f"127.0.0.1:{watch.port}"}, "timeouts": {"connect": "1m"},
        "dns": {"servers": [dns.address], "timeout": "1m"}}).start()
    for number in range(NAMES):
        dns.records[f"mute{number}.test"] = dns_server.Answer(silent=True)
    echo, giver = target(servers.echo), target(paced)
    quiet = [socks.connect(proxy.socks, "127.0.0.1", echo.port)
             for _ in range(TAB_STREAMS + PEER_STREAMS - DOWNLOADS)]
    sockets = proxy.server.sockets()
    loading = [socks.connect(proxy.socks, "127.0.0.1", giver.port) for _ in range(DOWNLOADS)]
    files_a_stream = (proxy.server.sockets() - sockets) / DOWNLOADS
    for each in loading:
        threading.Thread(target=read_on, args=(each,), daemon=True).start()
    associations = [udp.Association(proxy.socks) for _ in range(UDP_SOCKETS)]
    with servers.unanswering() as dead:
        waiting = [begin(proxy.socks, "127.0.0.1", dead) for _ in range(DEAD_PEERS)]
        waiting += [begin(proxy.socks, f"mute{number}.test", 80) for number in range(NAMES)]
        watch.until(lambda now: now["dials"] + now["lookups"] >= DEAD_PEERS + NAMES, "all are under way")
        watch.stay(3)
        streams = (TAB_STREAMS + PEER_STREAMS + DEAD_PEERS) * PART + NAMES + UDP_SOCKETS
        needed = {
            "sessions": DEVICES,
            "links": DEVICES * (watch.most["links"] + 1),
            "streams": streams,
            "dials": watch.most["dials"] * PART,
            "lookups": watch.most["lookups"] * 2,  # two pages
            "files": int(streams * files_a_stream),
            "udp_associations": UDP_SOCKETS,
            "memory": watch.most["memory_held"],
        }
        watch.most.clear()
        proxy.relay.do("refuse on")
        proxy.relay.do("cut rst")
        watch.until(lambda now: now["sessions_detached"] == 1, "the session is without a link")
        watch.stay(8)
        needed["detached_memory"] = watch.most["memory_held"]
    print(needed)
    assert {name: value for name, value in needed.items() if value >= defaults()[name]} == {}
    assert set(needed) == set(defaults())
    assert proxy.server.statistics()["streams"] >= TAB_STREAMS + PEER_STREAMS
    for each in (*quiet, *loading, *waiting, *associations):
        each.close()
