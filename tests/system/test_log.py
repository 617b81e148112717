"""The log holds up nobody: not while no one reads it, and not by what strangers do."""

import contextlib
import fcntl
import os
import re
import resource
import signal
import socket
import threading
import time

import pytest

from support import muxsocks, programs, servers, socks
from support.deadline import seconds, wait_until

GARBAGE = 340


@contextlib.contextmanager
def full_pipe():
    """The write end of a pipe that is full, and that nobody reads before `read_all` is called."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 1024)
    # The program gets the end as others do: a write to it blocks.
    os.set_blocking(writer, True)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


class Reader:
    """Reads a pipe from now on."""

    def __init__(self, descriptor):
        self.text = b""
        self._descriptor = os.dup(descriptor)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            piece = os.read(self._descriptor, 65536)
            if not piece:
                return
            self.text += piece

    def wait_for(self, pattern):
        return wait_until(lambda: re.search(pattern, self.text.decode(errors="replace")), 10,
                          lambda: f"/{pattern}/ in {self.text[-3000:]!r}")


def start_with_stderr(pair, role, descriptor):
    """One of the two programs, with this as its standard error."""
    settings = pair.server_settings if role == "server" else pair.client_settings
    command = [programs.binary(f"muxsocks-{role}"), "-c",
               muxsocks.write_config(pair.folder, role, settings)]
    started = programs.subprocess.Popen([str(each) for each in command], stderr=descriptor,
                                        stdin=programs.subprocess.DEVNULL)
    port = int(settings["listen"].rpartition(":")[2])
    wait_until(lambda: muxsocks.listening(started.pid, port), 10, f"{role} to listen")
    return started


def send_garbage(endpoint, count=GARBAGE):
    for _ in range(count):
        with socket.create_connection(endpoint, seconds(5)) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with contextlib.suppress(OSError):
                connection.recv(100)


def test_standard_error_that_nobody_reads_stops_nothing(new_pair, target):
    echo = target(servers.echo)
    pair = new_pair(server={"limits": {"unauthenticated_per_address": 1000}})
    with full_pipe() as (reader, writer):
        server = start_with_stderr(pair, "server", writer)
        client = start_with_stderr(pair, "client", writer)
        proxy = int(pair.client_settings["listen"].rpartition(":")[2])
        try:
            with socks.connect(("127.0.0.1", proxy), *echo.endpoint) as connection:
                send_garbage(pair.server_endpoint)
                send_garbage(("127.0.0.1", proxy))
                for _ in range(50):
                    connection.sendall(b"ping")
                    assert connection.recv(4) == b"ping"
                    with socks.connect(("127.0.0.1", proxy), *echo.endpoint) as other:
                        other.sendall(b"x")
                        assert other.recv(1) == b"x"
            # Each ends though its log is still full: a second for the log's last words.
            for each in (client, server):
                began = time.monotonic()
                each.send_signal(signal.SIGTERM)
                assert each.wait(seconds(6)) == 0
                assert time.monotonic() - began < seconds(5)
        finally:
            for each in (client, server):
                each.kill()
                each.wait()


def test_a_log_that_is_read_again_has_all_that_its_queue_held(new_pair):
    pair = new_pair(server={"log": {"level": "debug"},
                            "limits": {"unauthenticated_per_address": 1000}})
    with full_pipe() as (reader, writer):
        server = start_with_stderr(pair, "server", writer)
        try:
            send_garbage(pair.server_endpoint, 100)
            log = Reader(reader)
            wait_until(lambda: log.text.count(b"link from 127.0.0.1") >= 100, 10,
                       lambda: f"100 lines in {log.text[-3000:]!r}")
            assert b"listening for links" in log.text
            server.send_signal(signal.SIGTERM)
            assert server.wait(seconds(6)) == 0
        finally:
            server.kill()
            server.wait()


def test_lines_that_strangers_cause_are_counted_after_the_first_few(new_pair):
    pair = new_pair(server={"log": {"level": "info"},
                            "limits": {"unauthenticated_per_address": 1000}})
    server = pair.start_server()
    send_garbage(pair.server_endpoint)
    server.stop()
    lines = server.lines("link from|links ")
    assert len(lines) <= 12, lines
    counted = [int(each) for each in re.findall(r": (\d+) more like this", "\n".join(lines))]
    assert len([each for each in lines if "link from" in each]) + sum(counted) == GARBAGE


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_fifo_without_a_reader_is_refused_as_a_log_file(folder, new_pair, role):
    os.mkfifo(folder / "fifo")
    pair = new_pair(server={"log": {"file": str(folder / "fifo")}},
                    client={"log": {"file": str(folder / "fifo")}})
    settings = pair.server_settings if role == "server" else pair.client_settings
    ended = muxsocks.check(role, folder, settings, "-l", "info")
    assert ended.returncode == 23
    assert "log.file" in ended.stderr and "FIFO that nobody reads" in ended.stderr


def test_a_fifo_whose_reader_goes_and_comes_back(folder, new_pair):
    path = folder / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    pair = new_pair(server={"log": {"file": str(path)}})
    server = pair.start_server()
    os.close(reader)
    send_garbage(pair.server_endpoint, 20)
    server.wait_for_log("the log file .*fifo.* cannot be written: Broken pipe")
    with open(path, "rb") as again:
        log = Reader(again.fileno())
        send_garbage(pair.server_endpoint, 1)
        log.wait_for(r"\d+ lines? (is|are) missing here: Broken pipe\n.*link from 127.0.0.1")
    assert len(server.log().splitlines()) == 1, server.log()


def test_a_log_file_at_its_limit_of_size(folder, new_pair, target):
    echo = target(servers.echo)
    path = folder / "server.log"
    pair = new_pair(server={"log": {"file": str(path)}})
    server = pair.start_server()
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (path.stat().st_size + 100, 1 << 30))
    pair.start_client()
    for _ in range(20):
        with socks.connect(pair.socks, *echo.endpoint) as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
    server.wait_for_log("cannot be written: File too large")
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    with socks.connect(pair.socks, *echo.endpoint):
        pass
    wait_until(lambda: re.search(r"\d+ lines are missing here: File too large", path.read_text()),
               10, "the log to say what it misses")
    assert len(server.log().splitlines()) == 1, server.log()


@pytest.mark.parametrize("role", ["client", "server"])
def test_what_is_wrong_at_the_start_is_the_last_word(new_pair, role):
    """Behind all lines of the log, and before the exit."""
    pair = new_pair()
    settings = pair.server_settings if role == "server" else pair.client_settings
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings["listen"] = ["localhost:0", f"127.0.0.1:{taken.getsockname()[1]}"]
        ended = muxsocks.check(role, pair.folder, settings, "-v")
    assert ended.returncode == 1
    assert "cannot listen on 127.0.0.1" in ended.stderr.splitlines()[-1], ended.stderr


FILTER = re.compile(r"failregex = (.*(?:\n +\^.*)*)")
HEAD_OF_TEXT = re.compile(r"^\S+ \w+ +")


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_a_failed_authentication_is_found_by_the_documented_filter(new_pair, form):
    documented = FILTER.search((programs.ROOT / "docs/OPERATIONS.md").read_text()).group(1)
    failed = [re.compile(each.strip().replace("<HOST>", r"(?P<host>[\w.:]+)"))
              for each in documented.splitlines()]
    # Who fails may choose the name, and would have somebody else banned.
    name = '" warning link from 9.9.9.9 refused: authentication failed for user "'
    pair = new_pair(server={"log": {"level": "info", "format": "json" if form == "json" else "text"}},
                    client={"auth": {"user": name}})
    server = pair.start_server()
    client = pair.start_client(wait_for_link=False)
    server.wait_for_log("refused: authentication failed for user .*9.9.9.9")
    lines = server.log().splitlines()
    if form == "journal":  # As fail2ban puts records together.
        lines = [HEAD_OF_TEXT.sub("host muxsocks-server[12]: ", line) for line in lines]
    found = [each.search(line) for each in failed for line in lines]
    assert {match["host"] for match in found if match} == {"127.0.0.1"}
    client.stop()


def test_requests_that_a_short_machine_refuses_are_named(new_pair):
    """At info, with what is short."""
    pair = new_pair(server={"log": {"level": "info"}, "limits": {"dials": 1},
                            "timeouts": {"connect": "500ms"}})
    pair.start()
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        for _ in range(12):
            one = sockets.enter_context(socks.open_connection(pair.socks))
            socks.negotiate(one)
            one.sendall(socks.request_bytes(*full.getsockname()))
        pair.server.wait_for_log(r" warning .*a request was refused: .*limits.dials")
        wait_until(lambda: pair.server.statistics()["streams"] == 0, 10, "them to end")
    assert len(pair.server.lines("a request was refused")) <= 5


def test_statistics_are_one_line_of_the_process(new_pair):
    pair = new_pair(server={"threads": 4}).start()
    pair.server.statistics()
    pair.server.send(signal.SIGUSR1)
    pair.server.wait_for_log("held by the process", count=2)
    # A line a thread would have come before these.
    pair.server.statistics()
    assert len(pair.server.lines("held by the process")) == 3


@pytest.mark.parametrize("command, name", [(2, "BIND (0x02)"), (0x7F, "command 0x7f")])
def test_a_command_that_is_not_supported_is_named(new_pair, command, name):
    pair = new_pair(client={"log": {"level": "info"}}).start()
    with socks.open_connection(pair.socks) as connection:
        socks.negotiate(connection)
        connection.sendall(bytes([5, command]) + socks.request_bytes("127.0.0.1", 9)[2:])
        assert socks.read_reply(connection).rep == 7
    assert name in pair.client.wait_for_log("SOCKS connection closed: .*").group()
