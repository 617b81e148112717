"""What the tests over a WAN rely on: that muxsocks-wan does to packets what it is told, measured with
plain sockets. Nothing here judges the machine's speed: a packet may be late for many reasons, so
"not before" is checked at once and "not much later" by the best of many."""

import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from support import deadline, programs, servers, socks
from support.wan import NOT_PERMITTED

IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
HEADERS = 28  # of IPv4 and UDP


class Datagrams:
    """A pair of UDP sockets over the WAN, `near` connected to `far`."""

    def __init__(self, wan, port=9000):
        with wan.far.inside():
            self.far = self._socket()
            self.far.bind((wan.far_address, port))
        with wan.near.inside():
            self.near = self._socket()
            self.near.connect((wan.far_address, port))

    @staticmethod
    def _socket():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        # DF is set, and what the kernel has learnt about the path's MTU is not looked at.
        made.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        return made

    def send(self, number, size):
        """A packet of that many bytes, headers included."""
        self.near.send(number.to_bytes(4, "big") + bytes(size - HEADERS - 4))

    def receive(self, timeout):
        """Number, time of arrival and sender of the next packet; None if none comes."""
        self.far.settimeout(timeout)
        try:
            data, sender = self.far.recvfrom(2048)
        except TimeoutError:
            return None
        return int.from_bytes(data[:4], "big"), time.monotonic(), sender[0]

    def receive_all(self, wan, count):
        """The numbers of so many packets, which are known to come."""
        return [self.receive(deadline.seconds(10))[0] for _ in range(count)]


@pytest.fixture
def datagrams():
    made = []

    def make(wan, **options):
        made.append(Datagrams(wan, **options))
        return made[-1]

    yield make
    for pair in made:
        pair.near.close()
        pair.far.close()


def settled(wan, packets, direction="up"):
    """The direction's counts once so many packets have come in and none is inside."""
    return deadline.wait_until(
        lambda: (found := wan.stats()[direction])["in_packets"] >= packets
        and found["inside"] == 0 and found, 10, "all packets to pass")


def connect(wan, timeout=10):
    """A TCP connection through the WAN: its two ends."""
    with wan.far.inside():
        listener = socket.create_server((wan.far_address, 0))
    with listener, wan.near.inside():
        near = socket.create_connection(listener.getsockname(), deadline.seconds(timeout))
        listener.settimeout(deadline.seconds(timeout))
        far, _ = listener.accept()
    return near, far


def test_a_packet_comes_after_the_delay(wan, datagrams):
    path = wan("delay up 60ms", "delay down 5s")
    pair = datagrams(path)
    best = 1e9
    end = time.monotonic() + deadline.seconds(10)
    while best > 0.070 and time.monotonic() < end:
        sent = time.monotonic()
        pair.send(1, 100)
        took = pair.receive(deadline.seconds(5))[1] - sent
        assert took >= 0.060
        best = min(best, took)
    assert best <= 0.070


@pytest.mark.parametrize("rate, bytes_per_second, size, count", [
    ("9kbit", 1125, 100, 6), ("2mbit", 250_000, 1500, 50), ("100mbit", 12_500_000, 1500, 2000)])
def test_the_rate_is_kept(wan, datagrams, rate, bytes_per_second, size, count):
    path = wan(f"rate {rate}", "queue 8MiB")
    pair = datagrams(path)
    wanted = (count - 1) * size / bytes_per_second
    ratios = []
    end = time.monotonic() + deadline.seconds(10)
    while time.monotonic() < end:
        for number in range(count):
            pair.send(number, size)
        times = [pair.receive(deadline.seconds(10))[1] for _ in range(count)]
        ratios.append((times[-1] - times[0]) / wanted)
        if 0.9 <= ratios[-1] <= 1.1:
            return
    pytest.fail(f"{count} packets took {ratios} of the time that {rate} gives them")


def test_a_queue_is_full_at_its_bytes(wan, datagrams):
    path = wan("rate 9kbit", "queue 10000")
    pair = datagrams(path)
    for number in range(40):
        pair.send(number, 1000)
    found = deadline.wait_until(lambda: (up := path.stats()["up"])["in_packets"] >= 40 and up, 10,
                                "all packets to come in")
    assert found["queued_bytes_max"] == 10000
    assert found["queue_full"] == 40 - found["inside"] - found["delivered_packets"]
    # What was transmitted while they came made room for as many: a second each.
    assert found["queue_full"] <= 30
    path.do("rate off")
    assert pair.receive_all(path, 10) == list(range(10))


def test_that_share_of_packets_is_lost(wan, datagrams):
    path = wan("loss up 10")
    pair = datagrams(path)
    for number in range(2000):
        pair.send(number, 100)
    found = settled(path, 2000)
    assert 120 <= found["lost"] <= 280  # six standard deviations
    arrived = pair.receive_all(path, found["delivered_packets"])
    assert len(set(arrived)) == 2000 - found["lost"]
    assert arrived == sorted(arrived)


def test_bursts_lose_packets_in_runs(wan, datagrams):
    path = wan("burst up 10 10")
    pair = datagrams(path)
    for number in range(3000):
        pair.send(number, 100)
    found = settled(path, 3000)
    arrived = pair.receive_all(path, found["delivered_packets"])
    gaps = [after - before - 1 for before, after in zip(arrived, arrived[1:]) if after > before + 1]
    assert found["lost_in_bursts"] == 3000 - len(arrived)
    assert sum(gaps) / len(gaps) > 4


def test_the_seed_decides_which_packets_are_lost(wan, datagrams):
    def arrived(seed):
        path = wan("loss 50", seed=seed)
        pair = datagrams(path)
        for number in range(64):
            pair.send(number, 100)
        return pair.receive_all(path, settled(path, 64)["delivered_packets"])

    assert arrived(5) == arrived(5) != arrived(6)


def test_reordered_packets_come_later_than_others(wan, datagrams):
    path = wan("delay 10ms", "reorder 20 300ms")
    pair = datagrams(path)
    for number in range(100):
        pair.send(number, 100)
    found = settled(path, 100)
    assert found["reordered"] > 0
    arrived = pair.receive_all(path, 100)
    assert sorted(arrived) == list(range(100)) != arrived


def test_a_small_mtu_is_a_black_hole(wan, datagrams):
    path = wan("mtu 1300")
    pair = datagrams(path)
    pair.send(1, 1301)
    pair.send(2, 1300)
    assert pair.receive(deadline.seconds(5))[0] == 2
    assert settled(path, 2)["too_big"] == 1


def test_tcp_stalls_in_a_black_hole_and_not_when_it_is_told(wan):
    path = wan("mtu 1300")
    path.near.set("net/ipv4/tcp_mtu_probing", "0")
    near, far = connect(path)
    with near, far:
        far.settimeout(1)
        near.sendall(bytes(4000))
        with pytest.raises(TimeoutError):
            far.recv(4000)
        path.do("mtu 1300 told")
        far.settimeout(deadline.seconds(20))
        got = 0
        while got < 4000:
            got += len(far.recv(4000))
    assert path.stats()["up"]["too_big"] >= 2


def test_the_sender_is_told_over_ipv6_too(wan):
    path = wan("mtu 1300 told")
    if not path.has_ipv6:
        pytest.skip("no IPv6 here")
    path.far_address = path.far_address6
    with path.far.inside():
        listener = socket.create_server((path.far_address6, 0), family=socket.AF_INET6)
    with listener, path.near.inside():
        near = socket.create_connection(listener.getsockname()[:2], deadline.seconds(10))
        far, _ = listener.accept()
    with near, far:
        near.sendall(bytes(4000))
        far.settimeout(deadline.seconds(20))
        got = 0
        while got < 4000:
            got += len(far.recv(4000))
    assert path.stats()["up"]["too_big"] >= 1


def test_a_black_out_loses_everything_for_a_time(wan, datagrams):
    path = wan("delay 20ms")
    pair = datagrams(path)
    pair.send(0, 100)
    assert pair.receive(deadline.seconds(5))[0] == 0
    begun = time.monotonic()
    path.do("blackout up 1s")
    number, first = 0, None
    while first is None:
        number += 1
        pair.send(number, 100)
        first = pair.receive(0.02)
        assert time.monotonic() < begun + deadline.seconds(10)
    assert first[1] - begun >= 1
    assert path.stats()["up"]["blacked_out"] >= 1


def test_only_one_direction_may_be_dark(wan):
    path = wan()
    near, far = connect(path)
    with near, far:
        path.do("blackout down on")
        near.sendall(b"heard")
        far.settimeout(deadline.seconds(5))
        assert far.recv(10) == b"heard"
        far.sendall(b"not heard")
        near.settimeout(0.5)
        with pytest.raises(TimeoutError):
            near.recv(10)
        path.do("blackout off")
        near.settimeout(deadline.seconds(20))
        assert near.recv(10) == b"not heard"


def test_a_host_that_changes_its_address_loses_its_connections(wan):
    path = wan()
    near, far = connect(path)
    with near, far:
        path.change_near_address("10.77.0.9")
        far.sendall(b"for nobody")
        near.settimeout(0.5)
        with pytest.raises((TimeoutError, OSError)):
            near.recv(10)
    near, far = connect(path)
    with near, far:
        assert far.getpeername()[0] == "10.77.0.9"


def test_a_translated_host_is_seen_by_another_address(wan):
    path = wan()
    before, far_before = connect(path)
    path.translate_near("192.0.2.7")
    near, far = connect(path)
    with near, far, before, far_before:
        assert far.getpeername()[0] == "192.0.2.7"
        far.sendall(b"hello")
        near.settimeout(deadline.seconds(5))
        assert near.recv(10) == b"hello"
        # The connection from before is unknown under the new address.
        before.sendall(b"who am I")
        before.settimeout(deadline.seconds(5))
        with pytest.raises(ConnectionResetError):
            before.recv(10)


def test_it_carries_a_fast_stream(wan):
    """No figure: only that thousands of packets in flight are neither lost nor mixed up."""
    path = wan("delay 20ms", "rate 1gbit")
    near, far = connect(path)
    payload = os.urandom(1 << 20) * 16
    received = bytearray()
    with near, far:
        near.setblocking(False)
        sent = 0
        end = time.monotonic() + deadline.seconds(60)
        while len(received) < len(payload):
            assert time.monotonic() < end
            wants = [near] if sent < len(payload) else []
            readable, writable, _ = select.select([far], wants, [], 1)
            if writable:
                sent += near.send(memoryview(payload)[sent:sent + 262144])
            if readable:
                received += far.recv(1 << 20)
    assert received == payload


def test_statistics_come_at_a_signal_and_at_the_end(wan):
    path = wan()
    program = path._program
    program.send_signal(signal.SIGUSR1)
    assert '"found_nobody"' in program.stdout.readline()
    path.do("quit")
    assert '"found_nobody"' in program.stdout.readline()
    assert program.wait(deadline.seconds(10)) == 0


def test_wrong_commands_are_refused(wan):
    path = wan()
    with pytest.raises(AssertionError, match="not a percentage"):
        path.do("loss much")
    assert path.do("loss 1") == "ok"


def test_who_may_not_make_devices_gets_a_sentence(namespace):
    bounded = ["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all",
               "--inh-caps=-all"]
    done = programs.run([*bounded, programs.binary("muxsocks-wan"),
                         "--near", f"/proc/{namespace.pid}/ns/net",
                         "--far", f"/proc/{namespace.pid}/ns/net"])
    assert done.returncode == NOT_PERMITTED, done
    assert "cannot open the network namespace" in done.stderr


def test_nothing_is_left_when_the_tests_are_killed(tmp_path):
    """A process that makes a WAN and starts a program inside is killed; all of it must end."""
    script = ("import sys, time; sys.path.insert(0, sys.argv[1])\n"
              "from pathlib import Path\n"
              "from support.wan import Wan\n"
              "wan = Wan(Path(sys.argv[2]), 'delay 1ms')\n"
              "print(wan.near.pid, wan.far.pid, wan._program.pid, flush=True)\n"
              "time.sleep(600)\n")
    here = os.path.dirname(__file__)
    child = subprocess.Popen([sys.executable, "-c", script, here, str(tmp_path)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = child.stdout.readline()
    child.kill()
    _, errors = child.communicate()
    if "Skipped" in errors:
        pytest.skip("no WAN here")
    assert line, errors

    def ended(pid):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    deadline.wait_until(lambda: all(ended(pid) for pid in line.split()), 10, "all to end")


def test_a_pair_talks_over_it(wan, new_pair, target):
    path = wan("delay 20ms")
    with path.far.inside():
        port = target(servers.echo, host=path.far_address).port
    proxy = new_pair()
    path.start_apart(proxy)
    with path.near.inside():
        begun = time.monotonic()
        with socks.connect(proxy.socks, path.far_address, port) as connection:
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"
        assert time.monotonic() - begun >= 0.04
