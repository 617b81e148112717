"""The link: waited for, lost, found again, and more than one of it."""

import signal
import socket
import threading
import time

import pytest

from support import muxsocks, servers, socks
from support.deadline import seconds, wait_until
from support.exact import transfers

# Without resumption the loss of a link is the end of its streams, visibly.
NOT_RESUMED = {"resume": {"enabled": False}}


def ask_in_background(proxy, port):
    """A request on its way; returns a function that waits for its REP."""
    found = []
    thread = threading.Thread(
        target=lambda: found.append(socks.rep_for(proxy.socks, "127.0.0.1", port)))
    thread.start()

    def result():
        thread.join(seconds(20))
        assert found, "no reply"
        return found[0]

    return result


def test_the_client_starts_without_its_server(new_pair, target):
    port = target(servers.echo).port
    proxy = new_pair()
    proxy.start_client(wait_for_link=False)
    result = ask_in_background(proxy, port)
    proxy.client.wait_for_log(r"refused")
    proxy.start_server()
    assert result() == socks.SUCCEEDED


def test_a_request_waits_for_the_link_and_no_longer_than_told(new_pair, target):
    proxy = new_pair(client={"timeouts": {"wait": "1s"}})
    proxy.start_client(wait_for_link=False)
    began = time.monotonic()
    assert socks.rep_for(proxy.socks, "127.0.0.1", 80) == socks.GENERAL_FAILURE
    assert 0.9 < time.monotonic() - began < seconds(3)


@pytest.mark.slow
def test_by_default_a_request_waits_for_ten_seconds(new_pair):
    proxy = new_pair()
    proxy.start_client(wait_for_link=False)
    began = time.monotonic()
    assert socks.rep_for(proxy.socks, "127.0.0.1", 80) == socks.GENERAL_FAILURE
    assert 9.5 < time.monotonic() - began < seconds(12)


def test_an_application_that_goes_away_while_it_waits(new_pair, target):
    server = target(servers.echo)
    proxy = new_pair()
    proxy.start_client(wait_for_link=False)
    connection = socks.open_connection(proxy.socks)
    socks.negotiate(connection)
    connection.sendall(socks.request_bytes("127.0.0.1", server.port))
    ports = proxy.client.port, connection.getsockname()[1]
    connection.close()
    wait_until(lambda: not muxsocks.holds_connection(proxy.client.pid, *ports), 3,
               "the client to close its side")
    proxy.start_server()
    proxy.wait_for_link()
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED
    wait_until(lambda: server.ends, 5, "the one connection to be over")
    assert server.accepted == 1


def test_a_server_that_comes_back(pair, target):
    server = target(servers.echo)
    proxy = pair()
    proxy.server.kill()
    proxy.client.wait_for_log(muxsocks.LINK_DOWN)
    proxy.start_server()
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED


def test_a_killed_server_resets_the_streams(pair, target):
    """Never a clean end of a truncated file."""
    server = target(servers.source)
    proxy = pair()
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    servers.read_exactly(connection, 500_000)
    proxy.server.kill()
    proxy.start_server()
    with pytest.raises(ConnectionResetError):
        servers.read_all(connection)
    connection.close()
    assert socks.rep_for(proxy.socks, "127.0.0.1", target(servers.echo).port) == socks.SUCCEEDED


@pytest.mark.parametrize("style", ["rst", "fin"])
def test_a_lost_link_resets_its_streams_on_both_sides(pair, target, style):
    server = target(servers.hold)
    proxy = pair(server=NOT_RESUMED, client=NOT_RESUMED, relay=[])
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    wait_until(lambda: server.live == 1, 5, "the target's side")
    proxy.relay.do(f"cut {style}")
    connection.settimeout(seconds(5))
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    wait_until(lambda: server.ends == ["ECONNRESET"], 5, lambda: server.ends)
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED


def test_no_truncated_transfer_looks_complete(pair):
    """Cuts at every moment, without resumption: resets are allowed, early ends and wrong bytes are
    not."""
    proxy = pair(server=NOT_RESUMED, client=NOT_RESUMED, relay=["every 100ms-300ms cut"])
    found = transfers(socks=proxy.client.address, for_="4s", concurrency=20, up="0-200KiB",
                      down="0-200KiB", deadline="20s", resets_ok=True)
    assert found["right"], found
    assert found["ok"] > 0 and found["reset"] + found["refused"] > 0, found


def test_a_link_that_swallows_everything_is_noticed(pair, target):
    keepalive = {"keepalive": {"interval": "300ms", "timeout": "300ms"}}
    server = target(servers.echo)
    proxy = pair(server={**NOT_RESUMED, **keepalive}, client={**NOT_RESUMED, **keepalive}, relay=[])
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    connection.sendall(b"x")
    servers.read_exactly(connection, 1)
    began = time.monotonic()
    proxy.relay.do("swallow on")
    connection.settimeout(seconds(5))
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert time.monotonic() - began < seconds(2)
    wait_until(lambda: server.live == 0, 5, "the server to notice, too")
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED


def test_keepalive_keeps_an_idle_link(pair, target):
    keepalive = {"keepalive": {"interval": "50ms", "timeout": "1s"}}
    proxy = pair(server=keepalive, client=keepalive, relay=[])
    up = proxy.relay.stats()["up"]
    wait_until(lambda: proxy.relay.stats()["up"] > up + 100, 10, "PINGs to pass")
    assert not proxy.client.lines(muxsocks.LINK_DOWN)
    assert socks.rep_for(proxy.socks, "127.0.0.1", target(servers.echo).port) == socks.SUCCEEDED


def test_several_links_share_the_streams(pair, target):
    server = target(servers.echo)
    proxy = pair(client={"sessions": 3}, relay=[])
    proxy.wait_for_link(3)
    wait_until(lambda: proxy.relay.stats()["live"] == 3, 5, proxy.relay.stats)
    connections = [socks.connect(proxy.socks, "127.0.0.1", server.port) for _ in range(9)]
    for connection in connections:
        connection.sendall(b"x")
        servers.read_exactly(connection, 1)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("threads, links", [(4, 1), (2, 3), (3, 3)])
def test_threads_share_the_links(pair, target, threads, links):
    """There are as many links as configured, whatever the number of threads."""
    server = target(servers.echo)
    proxy = pair(client={"threads": threads, "sessions": links}, relay=[])
    proxy.wait_for_link(links)
    for _ in range(8):  # the kernel spreads them over the threads: each has to have a link
        assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED
    assert proxy.client.statistics()["links"] == links
    assert proxy.relay.stats()["accepted"] == links


def test_a_reload_to_fewer_links_leaves_one_to_each_thread(pair):
    proxy = pair(client={"threads": 2, "sessions": 3}, relay=[])
    proxy.wait_for_link(3)
    proxy.client.reload({**proxy.client.config, "sessions": 1})
    proxy.client.wait_for_log("there are 2 sessions with each server")
    wait_until(lambda: proxy.relay.stats()["live"] == 2, 10, proxy.relay.stats)
    assert proxy.relay.stats()["accepted"] == 3


def test_one_of_several_links_is_lost(pair, target):
    server = target(servers.echo)
    proxy = pair(server=NOT_RESUMED, client={"sessions": 2, **NOT_RESUMED}, relay=[])
    proxy.wait_for_link(2)
    connections = [socks.connect(proxy.socks, "127.0.0.1", server.port) for _ in range(10)]
    proxy.relay.do("cut oldest")
    ended = 0
    for connection in connections:
        connection.settimeout(seconds(5))
        try:
            connection.sendall(b"x")
            servers.read_exactly(connection, 1)
        except ConnectionError:
            ended += 1
        connection.close()
    assert ended == 5  # the streams were spread evenly, and those of the other link go on
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED
    wait_until(lambda: proxy.relay.stats()["live"] == 2, 10, proxy.relay.stats)


def test_reconnecting_leaves_nothing_behind(pair, target):
    server = target(servers.echo)
    proxy = pair(server=NOT_RESUMED, client=NOT_RESUMED, relay=[])
    proxy.wait_for_link()
    before = [each.sockets() for each in proxy.programs]  # before there was any connection
    for _ in range(10):
        assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED
        proxy.relay.do("cut")
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED
    wait_until(lambda: [each.sockets() for each in proxy.programs] == before, 10,
               lambda: f"{before}: {[each.descriptors() for each in proxy.programs]}")


def test_a_link_that_is_refused_for_a_while(pair, target):
    server = target(servers.echo)
    proxy = pair(relay=[])
    proxy.relay.do("refuse on")
    proxy.relay.do("cut")
    proxy.client.wait_for_log(muxsocks.LINK_DOWN)
    result = ask_in_background(proxy, server.port)
    proxy.client.wait_for_log(r"refused")
    proxy.relay.do("refuse off")
    assert result() == socks.SUCCEEDED


@pytest.mark.parametrize("family", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.ipv6)])
def test_the_servers_name_is_resolved(new_pair, target, family):
    if family not in {found[4][0] for found in socket.getaddrinfo("localhost", None)}:
        pytest.skip(f"localhost is not {family} on this host")
    server = target(servers.echo)
    proxy = new_pair()
    port = proxy.server_endpoint[1]
    proxy.server_settings["listen"] = f"[{family}]:{port}" if ":" in family else f"{family}:{port}"
    proxy.client_settings["server"] = f"localhost:{port}"
    proxy.start()
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED


def test_a_stopped_server_says_goodbye(pair, target):
    """SIGTERM with a stream that ends in time: it is not harmed, and the exit code is 0."""
    server = target(servers.echo)
    proxy = pair(server={"timeouts": {"drain": "10s"}})
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    connection.sendall(b"before")
    servers.read_exactly(connection, 6)
    proxy.server.send(signal.SIGTERM)
    wait_until(lambda: not muxsocks.listening(proxy.server.pid, proxy.server.port) or
               proxy.server.lines("drain|stop"), 5, proxy.server.log)
    connection.sendall(b"after")
    assert servers.read_exactly(connection, 5) == b"after"
    connection.shutdown(socket.SHUT_WR)
    assert servers.read_all(connection) == b""
    connection.close()
    assert proxy.server.wait() == 0


def test_a_server_that_was_restarted_is_used_at_once(pair, target):
    """It has said that it stops, but the only server is not avoided for long."""
    server = target(servers.echo)
    proxy = pair()
    assert proxy.server.stop() == 0
    proxy.start_server()
    begun = time.monotonic()
    assert socks.rep_for(proxy.socks, "127.0.0.1", server.port) == socks.SUCCEEDED
    assert time.monotonic() - begun < seconds(2)


@pytest.mark.parametrize("role", ["client", "server"])
def test_new_requests_work_while_the_program_stops(pair, target, role):
    """Where there is no other server."""
    server = target(servers.echo)
    proxy = pair(**{role: {"timeouts": {"drain": "60s"}}})
    program = getattr(proxy, role)
    with socks.connect(proxy.socks, "127.0.0.1", server.port) as connection:
        program.send(signal.SIGTERM)
        program.says("stopping: ")
        if role == "server":
            proxy.client.says("takes no new streams")
        for _ in range(20):
            with socks.connect(proxy.socks, "127.0.0.1", server.port) as new:
                new.sendall(b"new")
                assert servers.read_exactly(new, 3) == b"new"
        connection.sendall(b"after")
        assert servers.read_exactly(connection, 5) == b"after"
        assert program.running()
    assert program.wait(20) == 0


def test_where_there_is_another_server_a_stopping_one_gets_no_new_requests(new_pair, target):
    second = new_pair()
    second.start_server()
    first = new_pair(server={"timeouts": {"drain": "60s"}})
    first.start_server()
    first.client_settings["servers"] = [{"address": first.server.address},
                                        {"address": second.server.address, "priority": 1}]
    first.client_settings.pop("server")
    first.start_client()
    echo = target(servers.echo)
    with socks.connect(first.socks, "127.0.0.1", echo.port):
        first.server.send(signal.SIGTERM)
        first.client.says("takes no new streams")
        with socks.connect(first.socks, "127.0.0.1", echo.port) as new:
            new.sendall(b"new")
            assert servers.read_exactly(new, 3) == b"new"
            assert second.server.statistics()["streams"] == 1


@pytest.mark.parametrize("role", ["client", "server"])
def test_what_outlasts_the_drain_is_reset(pair, target, role):
    proxy = pair(**{role: {"timeouts": {"drain": "500ms"}}})
    connection = socks.connect(proxy.socks, "127.0.0.1", target(servers.source).port)
    servers.read_exactly(connection, 100_000)
    program = proxy.client if role == "client" else proxy.server
    program.send(signal.SIGTERM)
    with pytest.raises(ConnectionResetError):
        servers.read_all(connection)
    connection.close()
    assert program.wait() == 0


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_second_signal_stops_now(pair, target, role):
    proxy = pair(**{role: {"timeouts": {"drain": "60s"}}})
    connection = socks.connect(proxy.socks, "127.0.0.1", target(servers.hold).port)
    program = proxy.client if role == "client" else proxy.server
    program.send(signal.SIGTERM)
    wait_until(lambda: program.lines("drain|stop"), 5, program.log)
    program.send(signal.SIGINT)
    program.wait(5)
    connection.close()
