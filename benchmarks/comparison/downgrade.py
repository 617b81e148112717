"""Makes two halves that both know version 2 speak version 1 with each other.

    python3 downgrade.py LISTEN TARGET

A version 1 server answers a client's HELLO with RST on stream 0, and a version 1 client sends none.
So for each connection this takes the HELLO off, answers it in the server's stead, and from then on
only moves bytes between the two sockets, in the kernel (splice). It is one more hop of the link: its
processor time is not counted as muxsocks', but on a machine with few processors it takes some of the
throughput, and its buffers add to the link's.
"""

import fcntl
import os
import socket
import struct
import sys
import threading

HEADER = struct.Struct("!IBH")
CTRL, RST = 0x40, 0x20
HELLO = 0x01
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("ended within HELLO")
        data += part
    return data


def answer_hello(client: socket.socket) -> None:
    stream, flags, length = HEADER.unpack(receive_exactly(client, HEADER.size))
    payload = receive_exactly(client, length)
    if (stream, flags, payload[:1]) != (0, CTRL, bytes([HELLO])):
        raise ConnectionError("no HELLO came first")
    client.sendall(HEADER.pack(0, RST, 0))


def move(source: socket.socket, sink: socket.socket) -> None:
    """Everything from one to the other, then its end."""
    read_end, write_end = os.pipe()
    try:
        fcntl.fcntl(write_end, F_SETPIPE_SZ, PIPE_BYTES)
        while count := os.splice(source.fileno(), write_end, PIPE_BYTES):
            while count:
                count -= os.splice(read_end, sink.fileno(), count)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is gone already
    finally:
        os.close(read_end)
        os.close(write_end)


def serve(client: socket.socket, target: tuple[str, int]) -> None:
    with client:
        try:
            answer_hello(client)
            server = socket.create_connection(target)
        except OSError as error:
            print(f"downgrade: {error}", flush=True)
            return
        with server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=move, args=(server, client), daemon=True)
            back.start()
            move(client, server)
            back.join()


def parse_address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main() -> int:
    listen, target = map(parse_address, sys.argv[1:])
    with socket.create_server(listen) as listener:
        print("ready", flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, target), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
