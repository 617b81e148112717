"""The tools of benchmarks/: which peer is put to which work, and where it listens."""

import sys
from types import SimpleNamespace

import pytest

from support import programs

sys.path.insert(0, str(programs.ROOT / "benchmarks"))

from comparison import limit  # noqa: E402
from comparison.main import known_works  # noqa: E402
from comparison.peers import ALL  # noqa: E402
from comparison.runner import why_not  # noqa: E402

pytestmark = pytest.mark.once

PEERS = {peer.name: peer for peer in ALL}


@pytest.mark.parametrize("peer, work, why", [
    ("ssh", "datagrams-1-200", "not run: it carries no datagrams"),
    ("relay", "voice", "not run: it carries no datagrams"),
    ("muxsocks-http", "voice-flow", "not run: it carries no datagrams"),
    ("muxsocks-v1", "datagrams-16-200", "not run: it carries no datagrams"),
    ("muxsocks-forward", "up-1", "not run: it carries no uploads"),
    ("muxsocks-forward", "trips-bulk-up", "not run: it carries no uploads"),
    ("muxsocks-forward", "down-1", ""),
    ("muxsocks-http", "up-1", ""),
    ("direct", "voice", ""),
    ("dante", "datagrams-1-200", "")])
def test_a_peer_is_not_put_to_what_it_cannot_carry(peer, work, why):
    assert why_not(PEERS[peer], known_works()[work]) == why


@pytest.mark.parametrize("peer", ["dante", "microsocks"])
@pytest.mark.parametrize("kind, listens, way", [("loopback", "socks:1", "socks:1"),
                                                ("delayed", "server:2", "relay:3")])
def test_the_long_link_lies_in_front_of_a_single_hop(peer, kind, listens, way, tmp_path):
    """Behind it the target would be near."""
    started = []
    scene = SimpleNamespace(
        kind=kind, socks="socks:1", server="server:2", target="target:4", near_address="near",
        way_to=lambda address: "relay:3" if kind == "delayed" else address,
        tools=SimpleNamespace(folder=tmp_path, packages=SimpleNamespace(
            find=lambda name: name, environment=lambda path: {})),
        start_near=lambda name, command, **more: started.append(command))
    running = PEERS[peer].start(scene)
    assert running.route == ["--socks", way, "--target", "target:4"]
    (command,) = started
    host, port = listens.split(":")
    told = (tmp_path / command[-1]).read_text() if peer == "dante" else " ".join(command)
    assert f"{host} port = {port}" in told or f"-i {host} -p {port}" in told


def test_without_openssl_there_is_no_limit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert limit.seconds_of_cipher() is None
    assert limit.of(1.0, limit.seconds_of_cipher()) is None
