"""The tools of benchmarks/: which peer is put to which work, where it listens, and that a run ends
where its figures would say nothing."""

import importlib.machinery
import importlib.util
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from support import programs

sys.path.insert(0, str(programs.ROOT / "benchmarks"))

import pair  # noqa: E402
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


@pytest.fixture
def rate(monkeypatch):
    """benchmarks/rate, whose streams are direct and end at once, at the guest's side."""
    loader = importlib.machinery.SourceFileLoader("rate", str(programs.ROOT / "benchmarks" / "rate"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("rate", loader))
    loader.exec_module(module)
    module.opened = []

    def connect(proxy, port):
        near, end = socket.socketpair()
        end.close()
        module.opened.append(socket.create_connection(("127.0.0.1", port)))
        return near

    monkeypatch.setattr(module, "connect", connect)
    yield module
    for each in module.opened:
        each.close()


def test_a_stream_that_ends_is_not_taken_for_a_slow_one(rate):
    flows = rate.Flows(None, "down", 2)
    with pytest.raises(SystemExit, match="a stream has ended"):
        flows.run(1)
    flows.close()


def test_a_program_that_does_not_start_ends_the_others(tmp_path):
    started = pair.Programs(tmp_path, tmp_path)
    port = pair.free_port()
    other = started.start([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], port,
                          stderr=subprocess.DEVNULL)
    with pytest.raises(SystemExit, match="false ended with 1"):
        started.start(["false"], pair.free_port())
    assert other.poll() is not None
