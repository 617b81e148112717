"""A wide area network of the test's own: two network namespaces joined by muxsocks-wan
(tests/tools/wan), `near` and `far`, with late, slow, small, lossy or broken packets between them.

Its addresses are for both namespaces only. Everything goes with the test, whatever happens: the
namespaces are held by processes that end with this one, and so does the program between them; what
a test has started inside is killed by stop().
"""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from . import deadline, programs
from .namespace import Namespace

NOT_PERMITTED = 3


class Wan:
    """`wan.do("loss 2")` while it runs; `wan.near` and `wan.far` are Namespaces, with `prefix` for
    commands and `inside()` for this thread's sockets."""

    near_address, far_address = "10.77.0.1", "10.77.0.2"
    near_address6, far_address6 = "fd77::1", "fd77::2"

    def __init__(self, folder, *commands, seed=1, mtu=1500):
        self._program, self.near, self.far = None, None, None
        if not os.path.exists("/dev/net/tun"):
            pytest.skip("no WAN here: /dev/net/tun is missing (modprobe tun)")
        try:
            self.near, self.far = Namespace(), Namespace()
            self._start(folder, commands, seed)
            for space in (self.near, self.far):
                # No address of its own choice, hence no packet that nobody asked for.
                space.try_set("net/ipv6/conf/wan/addr_gen_mode", "1")
                space.ip(f"link set wan mtu {mtu} txqueuelen 20000 up")
            self._give_addresses()
        except BaseException:
            self.stop()
            raise

    def _start(self, folder, commands, seed):
        arguments = [programs.binary("muxsocks-wan"), "--near", f"/proc/{self.near.pid}/ns/net",
                     "--far", f"/proc/{self.far.pid}/ns/net", "--stdin", "--seed", str(seed)]
        for command in commands:
            arguments += ["--do", command]
        self._log = folder / "wan.log"
        with open(self._log, "ab") as log:
            self._program = subprocess.Popen(arguments, stdin=subprocess.PIPE, bufsize=1, text=True,
                                             stdout=subprocess.PIPE, stderr=log)
        for line in self._program.stdout:
            if line == "ready\n":
                return
        status = self._program.wait()
        if status == NOT_PERMITTED:
            pytest.skip(f"no WAN here: {self._log.read_text().strip()}")
        raise AssertionError(f"muxsocks-wan ended with {status}: {self._log.read_text()}")

    def _give_addresses(self):
        self.near.ip(f"address add {self.near_address}/24 dev wan")
        self.far.ip(f"address add {self.far_address}/24 dev wan")
        for space in (self.near, self.far):
            space.ip("route add default dev wan")
        self.has_ipv6 = True
        for space, address in ((self.near, self.near_address6), (self.far, self.far_address6)):
            try:
                space.ip(f"address add {address}/64 dev wan nodad")
                space.ip("-6 route add default dev wan")
            except subprocess.CalledProcessError:
                self.has_ipv6 = False

    def do(self, command):
        """Carries out one command of tests/tools/wan/command.hpp; raises if it is not taken."""
        self._program.stdin.write(command + "\n")
        answer = self._program.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise AssertionError(f"wan, {command}: {answer or 'no answer'}\n{self._log.read_text()}")
        return answer

    def stats(self):
        """Counts since the start: {"up": {"lost": ...}, "down": {...}, "cpu_seconds": ...}."""
        return json.loads(self.do("stats"))

    def change_near_address(self, address):
        """The near host moves to another network: the old address and all that used it are gone."""
        self.near.ip("address flush dev wan scope global")
        self.near.ip(f"address add {address}/24 dev wan")
        self.near.ip("route replace default dev wan")
        self.near_address = address

    def translate_near(self, seen):
        """The far side knows the near host by another address from now on, as when a NAT between
        them has changed; the near host does not notice, and what comes to the old one is lost."""
        self.do(f"translate near {self.near_address} {seen}")

    def start_apart(self, pair, timeout=10):
        """Starts a pair's server in `far` and its client in `near`; its link goes over the WAN, and
        is up within `timeout`. Targets are to listen on `far_address`; see Wan.far.inside()."""
        address = f"{self.far_address}:{pair.server_endpoint[1]}"
        pair.server_settings["listen"] = pair.client_settings["server"] = address
        pair.client_settings["tls"]["server_name"] = "localhost"
        pair.start_server(prefix=self.far.prefix)
        pair.start_client(prefix=self.near.prefix, wait_for_link=False)
        pair.wait_for_link(timeout=timeout)

    def stop(self):
        for space in (self.near, self.far):
            if space is not None:
                _kill_everything_inside(space.pid)
                space.stop()
        if self._program is None:
            return
        self._program.stdin.close()
        try:
            self._program.wait(deadline.seconds(10))
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        self._program.stdout.close()


def _kill_everything_inside(holder):
    """Kills what runs in the holder's network namespace, but for the holder itself."""
    wanted = os.readlink(f"/proc/{holder}/ns/net")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in (holder, os.getpid()):
            continue
        try:
            if os.readlink(folder / "ns/net") == wanted:
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            pass  # ended meanwhile
