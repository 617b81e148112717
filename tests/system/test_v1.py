"""Version 1 peers (tests/tools/v1_peer.py), as server and as client: they work where they are allowed
and are refused everywhere else."""

import sys

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import wait_until
from support.exact import transfers

PEER = [sys.executable, programs.ROOT / "tests" / "tools" / "v1_peer.py"]
PLAIN_CLIENT = {"tls": {"enabled": False, "ca": None}, "auth": None}
PLAIN_SERVER = {"tls": {"enabled": False, "cert": None, "key": None}}


def listening_address(peer):
    found = peer.wait_for_output(r"^listen (\S+):(\d+)\nready$")
    return found.group(1), int(found.group(2))


@pytest.fixture
def old_server(started):
    """A version 1 server; returns its (host, port)."""
    return listening_address(started([*PEER, "server"], name="v1-server"))


@pytest.fixture
def old_client(started):
    """Starts version 1 clients of a muxsocks-server; returns each with its SOCKS (host, port)."""

    def start(server):
        peer = started([*PEER, "client", "--connect", server.address], name="v1-client")
        return peer, listening_address(peer)

    return start


def client_of(new_pair, old_server, **client):
    proxy = new_pair(client={**PLAIN_CLIENT, "server": f"{old_server[0]}:{old_server[1]}", **client})
    proxy.start_client(wait_for_link=False)
    return proxy


def server_for(new_pair, **server):
    proxy = new_pair(server={**PLAIN_SERVER, "allow_v1": ["127.0.0.0/8"],
                            "open_server": True, **server})
    proxy.start_server()
    return proxy


@pytest.mark.parametrize("order", ["target-ends", "client-first"])
def test_transfers_through_an_old_server(new_pair, old_server, order):
    proxy = client_of(new_pair, old_server, allow_v1=True)
    found = transfers(socks=proxy.client.address, transfers=60, concurrency=30, up="0-300KiB",
                      down="0-300KiB", order=order)
    assert found["right"], found


@pytest.mark.parametrize("order", ["target-ends", "target-first"])
def test_transfers_of_an_old_client(new_pair, old_client, order):
    proxy = server_for(new_pair)
    _, (host, port) = old_client(proxy.server)
    found = transfers(socks=f"{host}:{port}", transfers=60, concurrency=30, up="0-300KiB",
                      down="0-300KiB", order=order)
    assert found["right"], found


def test_large_transfers_through_an_old_server(new_pair, old_server):
    proxy = client_of(new_pair, old_server, allow_v1=True)
    found = transfers(socks=proxy.client.address, transfers=4, concurrency=4, up="8MiB",
                      down="8MiB", order="target-ends")
    assert found["right"], found


def test_large_transfers_of_an_old_client(new_pair, old_client):
    proxy = server_for(new_pair)
    _, (host, port) = old_client(proxy.server)
    found = transfers(socks=f"{host}:{port}", transfers=4, concurrency=4, up="8MiB", down="8MiB",
                      order="target-ends")
    assert found["right"], found


def test_replies_pass_through_in_both_roles(new_pair, old_server, old_client, target):
    port, nobody = target(servers.echo).port, programs.free_port()
    through_old_server = client_of(new_pair, old_server, allow_v1=True)
    assert socks.rep_for(through_old_server.socks, "127.0.0.1", port) == socks.SUCCEEDED
    assert socks.rep_for(through_old_server.socks, "127.0.0.1", nobody) == socks.CONNECTION_REFUSED
    _, old_socks = old_client(server_for(new_pair).server)
    assert socks.rep_for(old_socks, "127.0.0.1", port) == socks.SUCCEEDED
    assert socks.rep_for(old_socks, "127.0.0.1", nobody) == socks.CONNECTION_REFUSED


def test_an_old_server_is_refused_by_default(new_pair, old_server, target):
    echo = target(servers.echo)
    proxy = client_of(new_pair, old_server, timeouts={"wait": "500ms"})
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
    proxy.client.wait_for_log(r"allow_v1")
    assert echo.accepted == 0


def test_an_old_client_is_refused_by_default(new_pair, old_client, target):
    echo = target(servers.echo)
    proxy = server_for(new_pair, allow_v1=[])
    peer, old_socks = old_client(proxy.server)
    with pytest.raises((EOFError, ConnectionError)):
        socks.ask(old_socks, "127.0.0.1", echo.port)
    proxy.server.wait_for_log(r"allow_v1")
    assert echo.accepted == 0


def test_an_old_client_from_another_network_is_refused(new_pair, old_client, target):
    echo = target(servers.echo)
    proxy = server_for(new_pair, allow_v1=["127.9.0.0/16"])
    peer, old_socks = old_client(proxy.server)
    with pytest.raises((EOFError, ConnectionError)):
        socks.ask(old_socks, "127.0.0.1", echo.port)
    assert echo.accepted == 0


def test_old_and_new_clients_at_the_same_server(new_pair, old_client):
    proxy = server_for(new_pair)
    proxy.client_settings = muxsocks.merge(proxy.client_settings, {"tls": {"enabled": False,
                                                                          "ca": None}})
    proxy.start_client()
    _, (host, port) = old_client(proxy.server)
    for address, order in ((f"{host}:{port}", "target-ends"), (proxy.client.address, "mixed")):
        found = transfers(socks=address, transfers=30, concurrency=15, up="0-100KiB",
                          down="0-100KiB", order=order)
        assert found["right"], found


def test_an_old_client_that_does_not_read(new_pair, old_client, target):
    """Its streams cannot be paused; the others go on, and nothing of ours grows without bound."""
    source, echo = target(servers.source), target(servers.echo)
    proxy = server_for(new_pair)
    _, old_socks = old_client(proxy.server)
    idle = socks.connect(old_socks, "127.0.0.1", source.port)
    servers.read_exactly(idle, 10)
    talk = socks.connect(old_socks, "127.0.0.1", echo.port)
    talk.sendall(b"x")
    servers.read_exactly(talk, 1, timeout=30)
    assert proxy.server.resident_bytes() < 600 << 20
    idle.close()
    talk.close()


def test_a_warning_says_what_version_1_means(new_pair, old_server):
    proxy = client_of(new_pair, old_server, allow_v1=True)
    proxy.client.wait_for_log(r"version 1")


def test_resets_reach_the_other_side(new_pair, old_server, target):
    proxy = client_of(new_pair, old_server, allow_v1=True)
    server = target(servers.greet_and(servers.reset))
    connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
    servers.read_exactly(connection, 5)
    connection.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        servers.read_all(connection)
    connection.close()
    held = target(servers.hold)
    connection = socks.connect(proxy.socks, "127.0.0.1", held.port)
    wait_until(lambda: held.live == 1, 5, "the target's side")
    servers.reset(connection)
    wait_until(lambda: held.live == 0, 5, "the reset to arrive")
