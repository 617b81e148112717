"""A network namespace: networks of the test's own, with addresses that nobody answers, routes that
say unreachable, and no way out. Needs root; tests that use it are skipped without."""

import contextlib
import ctypes
import os
import subprocess
import threading
from pathlib import Path

import pytest

from . import programs, servers, socks

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """Lives as long as its process; `prefix` is put before a command to run it inside."""

    def __init__(self):
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        # cat ends with its standard input, hence with this process however that ends.
        self._holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec cat"],
                                        stdout=subprocess.PIPE, stdin=subprocess.PIPE)
        if not self._holder.stdout.readline():
            self._holder.wait()
            pytest.skip("network namespaces are not to be had here")
        self.pid = self._holder.pid
        self.prefix = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        self.ip("link set lo up")

    def run(self, command):
        subprocess.run([*self.prefix, *command.split()], check=True, capture_output=True)

    def ip(self, command):
        self.run(f"ip {command}")

    def swallow_network(self, name, address):
        """A network whose hosts never answer: the packets leave on a virtual wire without ARP, at
        whose other end nobody takes them."""
        self.ip(f"link add {name} type veth peer name {name}-end")
        self.ip(f"link set {name} arp off up")
        self.ip(f"link set {name}-end arp off up")
        self.ip(f"address add {address} dev {name}")

    def set(self, name, value):
        """Sets one of the kernel's variables; skips the test where containers may not."""
        try:
            with self.inside():
                Path("/proc/sys", name).write_text(value)
        except OSError as failed:
            pytest.skip(f"{name} cannot be set here: {failed.strerror}")

    def try_set(self, name, value):
        """The same for what is as well without it."""
        with self.inside(), contextlib.suppress(OSError):
            Path("/proc/sys", name).write_text(value)

    def need_ipv6(self):
        with self.inside():
            if not programs.has_ipv6():
                pytest.skip("no IPv6 here")

    def give_up_ipv6(self):
        """As Docker's networks are by default: the kernel knows IPv6, but no interface has it."""
        self.set("net/ipv6/conf/all/disable_ipv6", "1")

    @contextlib.contextmanager
    def inside(self):
        """In the block, this thread's new sockets belong to the namespace, and stay there."""
        with open(f"/proc/self/task/{threading.get_native_id()}/ns/net") as outside, \
                open(f"/proc/{self.pid}/ns/net") as within:
            _enter(within)
            try:
                yield
            finally:
                _enter(outside)

    def stop(self):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdin.close()
        self._holder.stdout.close()


class Internet:
    """Two network namespaces with a wire between them: `here`, with server and client, and `there`
    an echo with a public address, which the server's rules allow without a word."""

    target = "198.20.0.2"

    def __init__(self):
        self.here, self.there = Namespace(), Namespace()
        self.here.ip(f"link add wire type veth peer name wire netns {self.there.pid}")
        for end, address in ((self.here, "198.20.0.1"), (self.there, self.target)):
            end.ip(f"address add {address}/24 dev wire")
            end.ip("link set wire up")
        with self.there.inside():
            self.echo = servers.TargetServer(servers.echo, host=self.target)

    def talk(self, host="127.0.0.1"):
        """An echo through the proxy on the client's own default port."""
        with self.here.inside():
            with socks.connect((host, 1080), self.target, self.echo.port) as connection:
                connection.sendall(b"hello")
                assert servers.read_exactly(connection, 5) == b"hello"

    def start_apart(self, pair):
        """Starts a pair's server `there` and its client `here`: the link goes over the wire."""
        address = f"{self.target}:{pair.server_endpoint[1]}"
        pair.server_settings["listen"] = pair.client_settings["server"] = address
        pair.client_settings["tls"]["server_name"] = "localhost"
        pair.start_server(prefix=self.there.prefix)
        pair.start_client(prefix=self.here.prefix)

    def stop(self):
        self.echo.stop()
        self.here.stop()
        self.there.stop()


def _enter(namespace):
    if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
