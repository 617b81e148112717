"""Programs under control: started with a deadline, watched through /proc, always stopped."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from . import deadline

ROOT = Path(__file__).resolve().parents[3]


def build_folder():
    """The build whose programs are tested: $MUXSOCKS_BUILD (a folder, or a preset's name), else
    the first of build/ci, build/release and build/dev that has a client."""
    chosen = os.environ.get("MUXSOCKS_BUILD")
    if chosen:
        folder = Path(chosen)
        if not folder.is_dir():
            folder = ROOT / "build" / chosen
        if not folder.is_dir():
            raise RuntimeError(f"MUXSOCKS_BUILD={chosen} is neither a folder nor a preset's build")
        return folder.resolve()
    for preset in ("ci", "release", "dev"):
        if (ROOT / "build" / preset / "muxsocks-client").exists():
            return ROOT / "build" / preset
    raise RuntimeError("no build found: run `cmake --preset release && cmake --build --preset release`")


def sanitizer():
    """The sanitizers of the build that is tested, or an empty text."""
    cache = build_folder() / "CMakeCache.txt"
    if not cache.exists():
        return ""
    found = re.search(r"^MUXSOCKS_SANITIZE:\w+=(.*)$", cache.read_text(), re.MULTILINE)
    return found.group(1) if found else ""


def binary(name):
    path = build_folder() / name
    if not path.exists():
        raise RuntimeError(f"{path} is missing: build the target {name} first")
    return str(path)


def takes_preloads():
    """Whether LD_PRELOAD has an effect: static programs have no loader, and a sanitizer's own library
    must come first."""
    with open(binary("muxsocks-client"), "rb") as program:
        return b"/ld-linux" in program.read(8192) and not sanitizer()


# Ports below the range from which the kernel takes ports for outgoing connections, so that nobody
# takes one between free_port() and its use. Each worker process has its own stretch.
_next_port = 10000 + (os.getpid() * 97) % 20000
_port_lock = threading.Lock()


def free_port(host="127.0.0.1", kind=socket.SOCK_STREAM):
    """A port that nothing is bound to now."""
    global _next_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _port_lock:
        for _ in range(2000):
            _next_port = 10000 + (_next_port - 10000 + 1) % 22000
            with socket.socket(family, kind) as probe:
                try:
                    probe.bind((host, _next_port))
                    return _next_port
                except OSError:
                    continue
    raise RuntimeError("no free port")


def has_ipv6():
    """Whether this host, or this thread's network namespace, has the address ::1."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


class Program:
    """One child process with its output in files, into whose /proc the tests may look.

    `log()` is what it wrote to standard error so far, `output()` what it wrote to standard output.
    """

    def __init__(self, arguments, folder, name=None, env=None, stdin=subprocess.DEVNULL, **popen):
        self.arguments = [str(each) for each in arguments]
        self.name = name or Path(self.arguments[0]).name
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = _unused(folder, self.name, "log")
        self.output_path = self.log_path.with_suffix(".out")
        with open(self.log_path, "wb") as errors, open(self.output_path, "wb") as output:
            self.process = subprocess.Popen(self.arguments, stdin=stdin, stdout=output,
                                            stderr=errors, env={**os.environ, "MUXSOCKS_DUMPABLE": "1",
                                                 **(env or {})}, **popen)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def last_words(self):
        """The end of the log, for failures."""
        return "\n".join(self.log().splitlines()[-25:])

    def output(self):
        return self.output_path.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def wait_for_log(self, pattern, timeout=10, count=1):
        """Waits until the log has `count` matches of the pattern, and returns the last of them."""
        expression = re.compile(pattern, re.MULTILINE | re.IGNORECASE)

        def matches():
            found = list(expression.finditer(self.log()))
            if len(found) >= count:
                return found
            if not self.running():
                raise AssertionError(f"{self.name} ended with {self.process.returncode} before it "
                                     f"logged /{pattern}/:\n{self.last_words()}")
            return None

        return deadline.wait_until(matches, timeout,
                                   lambda: f"{self.name} to log /{pattern}/:\n{self.last_words()}")[-1]

    def wait_for_output(self, pattern, timeout=10):
        expression = re.compile(pattern, re.MULTILINE)

        def match():
            found = expression.search(self.output())
            if not found and not self.running():
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n"
                                     f"{self.last_words()}")
            return found

        return deadline.wait_until(match, timeout,
                                   lambda: f"{self.name} to write /{pattern}/:\n{self.output()}")

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=10):
        """Waits for the end and returns the exit code."""
        try:
            return self.process.wait(deadline.seconds(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {deadline.seconds(timeout):g} s:\n"
                                 f"{self.last_words()}") from None

    def stop(self, number=signal.SIGTERM, timeout=10):
        """Ends the process if it runs, and returns its exit code. What does not end in time is
        killed, and reported."""
        if self.running():
            self.send(number)
        try:
            return self.wait(timeout)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise

    def kill(self):
        if self.running():
            self.process.kill()
        self.process.wait()

    # What /proc knows of it.

    def descriptors(self):
        """The open descriptors as {number: what it is}."""
        found = {}
        for entry in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found[int(entry)] = os.readlink(f"/proc/{self.pid}/fd/{entry}")
            except FileNotFoundError:
                pass  # closed meanwhile
        return found

    def sockets(self):
        return sum(1 for what in self.descriptors().values() if what.startswith("socket:"))

    def resident_bytes(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _unused(folder, name, suffix):
    number = 0
    while True:
        path = folder / (f"{name}.{suffix}" if number == 0 else f"{name}-{number}.{suffix}")
        if not path.exists():
            return path
        number += 1


def run(arguments, timeout=30, **options):
    """Runs a command to its end; its output comes back as text, whatever its exit code."""
    return subprocess.run([str(each) for each in arguments], capture_output=True, text=True,
                          timeout=deadline.seconds(timeout), stdin=subprocess.DEVNULL, **options)


@contextlib.contextmanager
def more_files(count):
    """This process may have so many files open."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < count:
        pytest.skip(f"no more than {most} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, count), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
