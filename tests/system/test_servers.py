"""Several servers, and links that are replaced: who gets new streams, and what becomes of the old."""

import re
import signal
import threading
import time

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import seconds, wait_until
from support.exact import transfers

LINK_UP = r"link from .* is up"


def said(connection, text=b"ping"):
    connection.sendall(text)
    return servers.read_exactly(connection, len(text), seconds(20)) == text


@pytest.fixture
def two_servers(new_pair, keys, folder):
    """A client of two servers, the first preferred; both share the test's certificate."""
    made = []

    def start(server=None, client=None):
        proxy = new_pair(server=server, client=client)
        second = muxsocks.merge(muxsocks.server_config(keys, programs.free_port()), server or {})
        proxy.start_server()
        proxy.second = muxsocks.Muxsocks("server", folder / "second", second)
        made.append(proxy.second)
        proxy.client_settings["servers"] = [
            {"address": proxy.client_settings.pop("server"), "priority": 1},
            {"address": second["listen"], "priority": 2}]
        proxy.start_client()
        return proxy

    yield start
    for each in made:
        if each.running():
            each.stop()


def test_the_preferred_server_is_used_and_the_other_takes_over(two_servers, target):
    echo = target(servers.echo)
    proxy = two_servers()
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    assert not proxy.second.lines(LINK_UP)
    proxy.server.kill()
    began = time.monotonic()
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    taken = time.monotonic() - began
    print(f"a new request succeeds {taken * 1000:.0f} ms after the server was killed")
    assert taken < seconds(1)
    assert proxy.second.says(LINK_UP)


def test_new_streams_return_to_the_better_server_and_old_ones_stay(two_servers, target):
    echo = target(servers.echo)
    proxy = two_servers()
    proxy.server.kill()
    old = socks.connect(proxy.socks, "127.0.0.1", echo.port)
    assert said(old)
    proxy.start_server()
    wait_until(lambda: proxy.server.lines(LINK_UP), 20, "the better server to be used again")

    def returned():
        assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
        return proxy.server.statistics()["opened"] > 0

    wait_until(returned, 10, "new streams on the better server")
    opened = proxy.second.statistics()["opened"]
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    assert said(old)
    assert proxy.second.statistics()["opened"] == opened
    old.close()
    proxy.second.wait_for_log("link from .* closed")  # Its last stream has ended.


@pytest.mark.slow
def test_a_server_that_stops_harms_nobody(two_servers, target):
    """SIGTERM under 100 downloads that end within the drain and 50 requests a second: no download is
    damaged, no request fails."""
    echo = target(servers.echo)
    proxy = two_servers(server={"timeouts": {"drain": "20s"}})
    downloads = {}
    reader = threading.Thread(target=lambda: downloads.update(transfers(
        socks=proxy.client.address, transfers=100, concurrency=100, up=0, down="1MiB",
        pace="400KiB", order="target-ends", deadline="60s")))
    reader.start()
    proxy.server.wait_for_log(LINK_UP)
    wait_until(lambda: proxy.server.statistics()["streams"] == 100, 10, "the downloads to run")
    reps = []

    def ask():
        reps.append(socks.rep_for(proxy.socks, "127.0.0.1", echo.port))

    def moved():
        return len(re.findall(muxsocks.LINK_UP, proxy.client.log())) > 1

    began = time.monotonic()
    asking = []
    left = 125  # after the client has gone to the other server, however long that took
    while left > 0:
        if len(asking) == 25:
            proxy.server.send(signal.SIGTERM)
        left -= moved()
        time.sleep(max(0, began + len(asking) / 50 - time.monotonic()))
        asking.append(threading.Thread(target=ask))
        asking[-1].start()
        assert len(asking) < 1000, proxy.client.log()
    for each in (*asking, reader):
        each.join()
    assert downloads["right"] and downloads["ok"] == downloads["transfers"] == 100, downloads
    assert reps == [socks.SUCCEEDED] * len(asking)
    assert proxy.server.wait(25) == 0
    # The first server takes no new streams, so all that was asked after it had said so is here.
    assert proxy.second.says(LINK_UP)


def test_a_download_that_outlasts_the_drain_is_reset(two_servers, target):
    """Also where another server takes over: RST, never FIN."""
    proxy = two_servers(server={"timeouts": {"drain": "500ms"}})
    download = socks.connect(proxy.socks, "127.0.0.1", target(servers.source).port)
    servers.read_exactly(download, 100_000)
    proxy.server.send(signal.SIGTERM)
    with pytest.raises(ConnectionResetError):
        while download.recv(1 << 20):
            pass
    download.close()
    assert proxy.server.wait() == 0
    assert socks.rep_for(proxy.socks, "127.0.0.1", target(servers.echo).port) == socks.SUCCEEDED


def test_servers_change_with_a_reload(pair, keys, folder, target):
    """New streams go to the new server; the old ones end where they are, and their link with them."""
    echo = target(servers.echo)
    proxy = pair()
    old = socks.connect(proxy.socks, "127.0.0.1", echo.port)
    second = muxsocks.Muxsocks("server", folder / "second",
                               muxsocks.server_config(keys, programs.free_port()))
    try:
        proxy.client.reload({**proxy.client.config, "server": second.address})
        second.wait_for_log(LINK_UP)
        assert said(old)
        opened = proxy.server.statistics()["opened"]
        assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
        assert second.statistics()["opened"] == 1
        assert proxy.server.statistics()["opened"] == opened
        old.close()
        proxy.server.wait_for_log("link from .* closed")
    finally:
        proxy.client.stop()
        second.stop()


def test_links_are_replaced_at_their_age(pair, target):
    """New streams on a new link; the old one goes when its streams have ended."""
    echo = target(servers.echo)
    proxy = pair(client={"link_max_age": "1s"})
    old = socks.connect(proxy.socks, "127.0.0.1", echo.port)
    assert said(old)
    proxy.server.wait_for_log(LINK_UP, count=2)
    assert said(old)
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    assert not proxy.server.lines("link from .* lost")
    before = len(proxy.server.lines("link from .* closed"))
    old.close()
    wait_until(lambda: len(proxy.server.lines("link from .* closed")) > before, 10,
               "the old link to go")
