"""A server under attack, and those who notice: an honest user's client, users who log in, and whoever
asks for its health. See run for what it is for."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from support import deadline, dns_server, keys, muxsocks, programs, servers  # noqa: E402

ANSWER_SECONDS = 12  # what the tool waits for behind its time, and a little
# Attackers are elsewhere: they take what processor time the server and its honest users leave here.
ATTACKERS_NICE = 10


def user(name):
    """A user as the tool knows it (wire.hpp, token_of)."""
    return {"name": name, "token": f"{name}-has-a-token-of-thirty-two-characters"}


class MuteNames(dict):
    """Names of honest users exist; all others get no answer."""

    def get(self, name, default=None):
        if name.startswith("honest"):
            return ["127.0.0.1"]
        return dns_server.Answer(silent=True)


class Tool:
    """muxsocks-attack in one of its modes."""

    def __init__(self, mode, *options, niceness=0):
        self.words = [programs.binary("muxsocks-attack"), mode, *map(str, options)]
        prefix = ["nice", "-n", str(niceness)] if niceness else []
        self.process = subprocess.Popen([*prefix, *self.words], stdout=subprocess.PIPE, text=True)

    def line(self):
        """Its next line, as soon as that comes; empty at its end."""
        return self.process.stdout.readline().strip()

    def finish(self, timeout=deadline.seconds(30)):
        """Ends it, and returns the figures of its last line."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.result(timeout)

    def result(self, timeout):
        """Waits for its end, and returns the figures of its last line."""
        try:
            rest, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            rest, _ = self.process.communicate()
            raise AssertionError(f"no end of {' '.join(self.words)}") from None
        if self.process.returncode != 0:
            raise AssertionError(f"{' '.join(self.words)}: exit code {self.process.returncode}")
        return json.loads(rest.splitlines()[-1])

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Arena:
    """One server of one thread, so that nobody has a core of their own, with all that belongs to it.

    `server` is laid over the server's settings. `seconds` is the time that each measurement takes.
    """

    def __init__(self, folder, keyring, seconds, server=None, users=("honest", "mallory"), threads=1):
        self.seconds = seconds
        self.peak_sockets = 0
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._stack)
            self._start(Path(folder), keyring, server or {}, users, threads)
            undo.pop_all()

    def _start(self, folder, keyring, server, users, threads):
        self.dns = dns_server.DnsServer()
        self.dns.records = MuteNames()
        self._stack.callback(self.dns.stop)
        self.dead = self._stack.enter_context(servers.unanswering())
        self.honest_targets = self._targets()
        self.targets = self._targets(niceness=ATTACKERS_NICE)
        settings = muxsocks.merge(muxsocks.server_config(keyring, programs.free_port()), {
            "users": [user(name) for name in users], "threads": threads,
            "dns": {"servers": [self.dns.address]}, "log": {"level": "info"}})
        self.server = muxsocks.Muxsocks("server", folder / "server", muxsocks.merge(settings, server))
        self._stack.callback(self.server.kill)
        own = muxsocks.client_config(keyring, programs.free_port(), self.server.address)
        self.client = muxsocks.Muxsocks("client", folder / "client", muxsocks.merge(own, {
            "auth": {"user": users[0], "token": user(users[0])["token"]}, "threads": 1,
            "log": {"level": "info"}}))
        self._stack.callback(self.client.kill)
        self.client.wait_for_log("link to .* is up")
        self.forget_peaks()

    def _targets(self, **more):
        """Ports that echo, take, give and hold, in a process of their own."""
        tool = self.tool("targets", "--seconds", 3600, **more)
        return json.loads(tool.line())

    def tool(self, mode, *options, **more):
        made = Tool(mode, *options, **more)
        self._stack.callback(made.kill)
        return made

    def attack(self, mode, *options, seconds=None):
        """A mode that goes for the server; words like {give} and {dead} are its ports."""
        ports = {**self.targets, "dead": self.dead}
        words = [str(each).format(**ports) for each in options]
        return self.tool(mode, "--server", self.server.address, "--seconds",
                         seconds or self.seconds + 60, *words, niceness=ATTACKERS_NICE)

    # What is measured

    def honest(self, seconds, names=False, rate=50):
        """A byte echoed for the honest user, again and again, with another connection that stands."""
        port = self.honest_targets["echo"]
        target = f"honest#.test:{port}" if names else f"127.0.0.1:{port}"
        kind = ["--kind", "names"] if names else []
        return self.tool("requests", "--socks", self.client.address, "--target", target, "--rate",
                         rate, "--seconds", seconds, *kind)

    def newcomers(self, seconds, source=None, rate=5):
        """Links of the honest user that log in, from many addresses (none of them an attacker's) or
        always from the same."""
        where = ["--source", source] if source else ["--first", 200_000]
        return self.tool("newcomers", "--server", self.server.address, "--user", "honest", "--rate",
                         rate, "--seconds", seconds, *where)

    def healthy(self):
        """Whether one of three questions in a row is answered well, as orchestrators ask."""
        ask = [programs.binary("muxsocks-server"), "health", "-c", self.server.config_path]
        return any(programs.run(ask).returncode == 0 for _ in range(3))

    def forget_peaks(self):
        self.peak_sockets = 0
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.server.pid}/clear_refs").write_text("5")

    def peak_bytes(self):
        """The most that was resident in the server since forget_peaks()."""
        text = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) * 1024

    @contextlib.contextmanager
    def watched(self):
        """Notes in the block how many sockets the server has at most."""
        over = threading.Event()

        def watch():
            while not over.wait(0.2):
                with contextlib.suppress(OSError):
                    self.peak_sockets = max(self.peak_sockets, self.server.sockets())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def stop(self):
        """Ends everything; the server has to end by itself, in good order."""
        try:
            if not self.server.running():
                raise AssertionError(f"the server has ended:\n{self.server.last_words()}")
            status = self.server.stop(timeout=20)
            if status != 0:
                raise AssertionError(f"the server's exit code is {status}:\n{self.server.last_words()}")
        finally:
            self._stack.close()


def until(end):
    """Waits for a moment of time.monotonic(), in a measurement that lasts so long."""
    time.sleep(max(0, end - time.monotonic()))


def keyring(folder):
    os.makedirs(folder, exist_ok=True)
    return keys.Keys(Path(folder))
