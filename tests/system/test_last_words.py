"""No end takes away what was said before it: what a socket had sent before it took nothing more
arrives, and the reset behind it."""

import concurrent.futures
import contextlib
import fcntl
import select
import shutil
import socket
import struct
import termios
import threading
import time

import pytest

from support import programs, servers, socks
from support.deadline import seconds, wait_until

ANSWER = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)


def refuse_and_close(connection):
    """With bytes of the upload unread, so that RST follows the answer."""
    read_head(connection)
    connection.sendall(ANSWER)


def refuse_and_half_close(connection):
    """FIN follows the answer, and RST what comes after that."""
    read_head(connection)
    connection.sendall(ANSWER)
    connection.shutdown(socket.SHUT_WR)


def upload_until_it_fails(connection):
    """Returns the answer that was there then."""
    connection.settimeout(seconds(20))
    with contextlib.suppress(ConnectionError):
        connection.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 8388608\r\n\r\n")
        connection.sendall(bytes(8 << 20))
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(4096):
            answer += part
    return answer


@pytest.mark.parametrize("refuse", [refuse_and_close, refuse_and_half_close])
def test_the_answer_to_an_upload_that_still_runs(pair, target, refuse):
    site = target(refuse)
    proxy = pair()
    answers = []
    for _ in range(60):
        with socks.connect(proxy.socks, "127.0.0.1", site.port) as connection:
            answers.append(upload_until_it_fails(connection))
    assert answers.count(ANSWER) == 60, answers


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("refuse", [refuse_and_close, refuse_and_half_close])
def test_the_answer_that_curl_gets_to_an_upload_that_still_runs(pair, target, refuse):
    """At its full speed curl itself loses some of them, without a proxy, too: it gives up when it
    cannot send, before it looks for an answer."""
    site = target(refuse)
    proxy = pair()
    upload = proxy.folder / "upload"
    upload.write_bytes(bytes(8 << 20))

    def put(_):
        ended = programs.run(["curl", "--silent", "--proxy", f"socks5h://{proxy.client.address}",
                              "--limit-rate", "20M", "--header", "Expect:", "--upload-file", upload,
                              "--output", "/dev/stdout", "--write-out", " %{http_code}",
                              f"http://{site.address}/"], timeout=30)
        return ended.stdout

    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        answers = list(workers.map(put, range(60)))
    assert answers.count("too large 413") == 60, answers


def test_the_last_command_before_a_close_with_input_unread(pair, target):
    heard = []

    def talk_and_listen(connection):
        def talk():
            with contextlib.suppress(OSError):
                servers.source(connection)

        threading.Thread(target=talk, daemon=True).start()
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(4096):
                said += part
        heard.append(said)

    server = target(talk_and_listen)
    proxy = pair()
    for _ in range(100):
        connection = socks.connect(proxy.socks, "127.0.0.1", server.port)
        connection.settimeout(seconds(10))
        connection.recv(1, socket.MSG_PEEK)
        connection.sendall(b"last command")
        connection.close()
    wait_until(lambda: len(heard) == 100, 20, lambda: f"{len(heard)} connections to end")
    assert heard.count(b"last command") == 100, heard


def waiting_bytes(connection):
    """Of those that it was given, how many its peer has not taken."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]


def send_until_nobody_takes_more(connection):
    """Returns how many bytes were taken at the other end."""
    connection.setblocking(False)
    sent, quiet_since = 0, time.monotonic()
    while time.monotonic() - quiet_since < 0.5:
        try:
            sent += connection.send(bytes(1 << 16))
        except BlockingIOError:
            select.select([], [connection], [], 0.05)
        else:
            quiet_since = time.monotonic()
    connection.setblocking(True)
    return sent - waiting_bytes(connection)


def read_until_reset(connection):
    connection.settimeout(seconds(20))
    count = 0
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 20):
            count += len(part)
        return count, "a clean end"
    return count, "a reset"


SMALL = {"memory": {"stream_window": "64KiB"}}


def test_what_a_target_said_before_its_reset_to_an_application_that_reads_later(pair, target):
    """There is no credit when the reset comes: the bytes wait in the server's socket."""
    taken = []

    def fill_and_reset(connection):
        connection.recv(1)
        taken.append(send_until_nobody_takes_more(connection))
        servers.reset(connection)

    proxy = pair(client=SMALL)
    with socks.connect(proxy.socks, "127.0.0.1", target(fill_and_reset).port) as connection:
        connection.sendall(b"x")
        wait_until(lambda: taken, 20, "the target to fill everything")
        time.sleep(1)
        assert read_until_reset(connection) == (taken[0], "a reset")


def test_what_an_application_said_before_its_reset_to_a_target_that_reads_later(pair, target):
    taken, heard = [], []

    def read_later(connection):
        wait_until(lambda: taken, 20, "the application to fill everything")
        time.sleep(1)
        heard.append(read_until_reset(connection))

    proxy = pair(server=SMALL)
    connection = socks.connect(proxy.socks, "127.0.0.1", target(read_later).port)
    count = send_until_nobody_takes_more(connection)
    servers.reset(connection)
    taken.append(count)
    wait_until(lambda: heard, 20, "the target to read")
    assert heard == [(count, "a reset")]


def test_words_that_nobody_reads_do_not_hold_up_the_reset_for_ever(pair, target):
    """They need no credit where the application has sent what nobody took: it gets none, too."""
    taken = []

    def fill_and_reset(connection):
        taken.append(send_until_nobody_takes_more(connection))
        servers.reset(connection)

    proxy = pair(client=SMALL)
    before = [each.sockets() for each in proxy.programs]
    connection = socks.connect(proxy.socks, "127.0.0.1", target(fill_and_reset).port)
    wait_until(lambda: taken, 20, "the target to fill everything")
    wait_until(lambda: [each.sockets() for each in proxy.programs] == before, 20,
               "the sockets to be closed")
    connection.close()
