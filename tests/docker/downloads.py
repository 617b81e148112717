"""Downloads through a SOCKS port, one by one and many at once, and how each of them ended."""

import hashlib
import threading
import time
from dataclasses import dataclass

from support import deadline, socks


@dataclass
class Download:
    """`complete`: all of Content-Length came, and its digest is the right one. `short`: it ended
    cleanly with less, or with other bytes, which must never happen. Otherwise `failed`: the
    application could see that it is incomplete."""

    result: str = "running"
    why: str = ""
    seconds: float = 0.0


def fetch(proxy, path, digest, host="target", timeout=60):
    """One download to its end."""
    begun = time.monotonic()
    found = Download()
    try:
        with socks.connect(proxy, host, 80, timeout=timeout) as connection:
            connection.settimeout(deadline.seconds(timeout))
            connection.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
            with connection.makefile("rb") as stream:
                found.result = _read_answer(stream, digest)
    except (OSError, AssertionError, EOFError) as error:
        found.result, found.why = "failed", repr(error)
    found.seconds = time.monotonic() - begun
    return found


def _read_answer(stream, digest):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return "short"
        head += line
    content = hashlib.sha256()
    while block := stream.read1(1 << 16):
        content.update(block)
    return "complete" if content.hexdigest() == digest else "short"


def works(proxy, page, within):
    """Seconds until a request through the proxy succeeds; fails when that takes longer."""
    begun = time.monotonic()
    within = deadline.seconds(within)
    while True:
        found = fetch(proxy, page.name, page.digest, timeout=5)
        took = time.monotonic() - begun
        if found.result == "complete":
            assert took <= within, f"the first request that worked came after {took:.1f} s"
            return took
        assert found.result == "failed", found
        assert took <= within, f"no request has worked for {took:.1f} s: {found}"
        time.sleep(0.05)


class Many:
    """Downloads that run side by side in threads of their own."""

    def __init__(self, count, proxy, page, rate):
        self.found = [Download() for _ in range(count)]
        self._threads = [threading.Thread(target=self._run, args=(i, proxy, page, rate), daemon=True)
                         for i in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, i, proxy, page, rate):
        self.found[i] = fetch(proxy, f"{page.name}?rate={rate}", page.digest, timeout=120)

    def wait(self):
        for thread in self._threads:
            thread.join()
        return self

    def running(self):
        return sum(thread.is_alive() for thread in self._threads)

    def count(self, result):
        return sum(each.result == result for each in self.found)
