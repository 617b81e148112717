"""A server that ends each link as soon as it has authenticated: a client that dialled again at once
would do so hundreds of times a second."""

import socket
import threading
import time

import pytest
from support.link_peer import CLOSE, CTRL, LinkServer, frame
from support.muxsocks import TOKEN

WATCHED = 5


@pytest.mark.parametrize("last", [b"", frame(0, CTRL, bytes([CLOSE, 0])),
                                  frame(0, CTRL, bytes([CLOSE, 6]) + b"too many sessions")],
                         ids=["without a word", "with CLOSE", "for a limit"])
def test_it_is_dialled_less_and_less_often(new_pair, last):
    server = LinkServer(TOKEN)
    accepted = []

    def serve():
        while True:
            try:
                link = server.accept()
                link.send(last)
                link.close()
                accepted.append(time.monotonic())
            except (OSError, AssertionError):
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        proxy = new_pair(client={"server": server.address, "tls": {"enabled": False}})
        proxy.start_client(wait_for_link=False)
        end = time.monotonic() + WATCHED
        while time.monotonic() < end and len(accepted) < 100:
            time.sleep(0.05)
    finally:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
    print(f"dialled {len(accepted)} times in {WATCHED} s")
    # 0.25 s at first, doubling: of each wait up to all is chance.
    assert 3 <= len(accepted) < 30, len(accepted)
