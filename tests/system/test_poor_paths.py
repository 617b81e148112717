"""Lines that are only slow, and paths that swallow large packets without a word: nothing there is
replaced in vain, and bytes flow again.

MUXSOCKS_LONG=1 tries every rate and every MTU.
"""

import os
import re
import threading
import time

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import seconds, wait_until

LONG = bool(os.environ.get("MUXSOCKS_LONG"))
SIZE = 80_000
REPLACED = r"dialling another one|is back|lost: "
HOLE = r"the path swallows large packets.*at most {} bytes"

pytestmark = pytest.mark.slow


def give_and_count(connection):
    """Sends SIZE zeros behind the peer's first byte, or counts what comes until its FIN."""
    if connection.recv(1) == b"d":
        connection.sendall(bytes(SIZE))
        return
    servers.sink(connection)


class Transfer:
    """SIZE bytes up or down through the proxy, in a thread of its own."""

    def __init__(self, proxy, direction):
        self.moved, self.took, self._proxy = 0, None, proxy
        self._began = time.monotonic()
        self._thread = threading.Thread(target=getattr(self, "_" + direction), daemon=True)
        self._thread.start()

    def _connect(self):
        proxy = self._proxy
        with proxy.wan.near.inside():
            connection = socks.connect(proxy.socks, proxy.wan.far_address, proxy.target.port,
                                       timeout=600)
        connection.settimeout(600)
        return connection

    def _down(self):
        with self._connect() as connection:
            connection.sendall(b"d")
            while data := connection.recv(65536):
                self.moved += len(data)
        self.took = time.monotonic() - self._began

    def _up(self):
        with self._connect() as connection:
            connection.sendall(b"u" + bytes(SIZE))
            connection.shutdown(1)
            self.moved = int(servers.read_all(connection, timeout=600))
        self.took = time.monotonic() - self._began

    def wait(self, timeout):
        self._thread.join(timeout)
        return self.took


@pytest.fixture
def poor(wan, new_pair, target):
    """`poor("rate 9kbit", ...)`: a pair with a WAN between that is like this once the link is up,
    and a target beyond it."""

    def start(*commands, at_first=(), up_within=10, **options):
        proxy = new_pair(**options)
        proxy.wan = wan(*at_first)
        with proxy.wan.far.inside():
            proxy.target = target(give_and_count, host=proxy.wan.far_address)
        proxy.wan.start_apart(proxy, timeout=up_within)
        for command in commands:
            proxy.wan.do(command)
        return proxy

    return start


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("kbit", [9, 16, 32, 64] if LONG else [64])
def test_a_slow_line_carries_what_it_can_and_is_never_replaced(poor, kbit, direction):
    proxy = poor(f"rate {kbit}kbit", "delay 25ms", "queue 30KiB")
    line = SIZE * 8 / (kbit * 1000)
    transfer = Transfer(proxy, direction)
    took = transfer.wait(seconds(3 * line))
    print(f"{kbit} kbit/s {direction}: {transfer.moved} bytes, {took} s, {took and took / line} of the line's time")
    assert took is not None, proxy.client.log()
    assert transfer.moved == SIZE
    assert took < 1.3 * line
    assert not proxy.client.lines(REPLACED)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("mtu", [1280, 1000, 600] if LONG else [1000])
def test_large_packets_that_vanish_are_done_without(poor, mtu, direction):
    proxy = poor(f"mtu {mtu}", "delay 10ms")
    transfer = Transfer(proxy, direction)
    took = transfer.wait(seconds(60))
    print(f"MTU {mtu} {direction}: {transfer.moved} bytes, {took} s")
    assert took is not None, proxy.client.log()
    assert transfer.moved == SIZE
    assert took < seconds(30)
    segment = 1220 if mtu == 1280 else 536
    wait_until(lambda: proxy.client.lines(HOLE.format(segment)), 5, "the hole to be named")
    # From now on it is known.
    again = Transfer(proxy, direction)
    assert again.wait(seconds(5)) is not None


@pytest.mark.parametrize("mtu", [1280, 1000, 600] if LONG else [1280])
def test_a_large_handshake_that_vanishes_is_done_without(poor, keys, mtu):
    cert, key = keys.server_certificate("large", more_names=150)
    began = time.monotonic()
    proxy = poor(at_first=[f"mtu {mtu}"], up_within=40,
                 server={"tls": {"cert": str(cert), "key": str(key)}})
    transfer = Transfer(proxy, "up")
    assert transfer.wait(seconds(40)) is not None, proxy.client.log()
    print(f"MTU {mtu}, handshake: {time.monotonic() - began} s")
    assert time.monotonic() - began < seconds(30)


@pytest.mark.parametrize("mtu, said", [
    (1500, r"ok    path +\S+ ms  packets of 1500 bytes get through"),
    # The first packet of a handshake with post-quantum keys (OpenSSL 3.5) fills one of 1500 bytes.
    (1300, r"warn  path +(packets of 1500 bytes do not get through|"
           r"the TLS handshake gets through with TCP segments of at most 1220 bytes)"),
    (700, r"warn  path +the TLS handshake gets through with TCP segments of at most 536 bytes")])
def test_doctor_names_a_path_that_swallows_large_packets(poor, mtu, said):
    proxy = poor(f"mtu {mtu}")
    path = muxsocks.write_config(proxy.folder, "client", proxy.client_settings)
    ended = programs.run([*proxy.wan.near.prefix, programs.binary("muxsocks-client"), "doctor", "-c",
                          path], timeout=60)
    print(ended.stdout)
    assert re.search(said, ended.stdout), ended.stdout
    assert ended.returncode == 0
