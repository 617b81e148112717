#!/usr/bin/env python3
"""A version 1 peer, written from the wire description alone (docs/PROTOCOL.md, version 1).

    v1_peer.py server --listen 127.0.0.1:0 [--tls-cert FILE --tls-key FILE]
    v1_peer.py client --connect HOST:PORT --socks 127.0.0.1:0 [--tls-ca FILE]

The server speaks RFC 1928 on its streams and dials the targets; the client accepts SOCKS5 and opens
a stream for each request. Both write `listen ADDRESS:PORT` and then `ready` to standard output.

What a version 1 peer does, and this one too:

- A frame is StreamID u32, Flags u8, Length u16, payload, all big-endian. Flags: SYN 1, FIN 2, DATA 4,
  PING 8, PONG 16, RST 32; DATA goes before FIN when both are set. Everything else in the flags byte
  is not looked at.
- Any PING is answered with an empty PONG on stream 0; a PING of its own goes out every 15 s and is
  never missed when it stays without answer.
- A frame for a stream that is not known is answered with RST, unless it is one.
- Its FIN is a full close: it forgets the stream, so that what comes later is answered with RST. The
  other side's FIN ends reading only.
- More than 64 streams that nobody has taken up: RST.
- It knows no credit. With --drop it also loses, as the first implementation does, what exceeds a
  buffer of 256 KiB for a stream; without it, it buffers everything.
"""

import argparse
import asyncio
import ipaddress
import ssl
import struct
import sys

SYN, FIN, DATA, PING, PONG, RST = 1, 2, 4, 8, 16, 32
MAX_PAYLOAD = 65535
PING_INTERVAL = 15
BUFFER_BYTES = 256 * 1024
BACKLOG = 64


class StreamReset(Exception):
    pass


class Stream:
    def __init__(self, session, number):
        self.session, self.number = session, number
        self.buffer = bytearray()
        self.changed = asyncio.Event()
        self.peer_finished = self.closed = self.was_reset = False

    # What the session tells it.

    def on_data(self, payload):
        if self.session.drop:
            room = BUFFER_BYTES - 1 - len(self.buffer)
            self.session.dropped_bytes += max(0, len(payload) - room)
            payload = payload[:room]
        self.buffer += payload
        self.changed.set()

    def on_end(self, reset=False):
        self.was_reset = self.was_reset or reset
        self.peer_finished = True
        self.changed.set()

    # What the application does with it.

    async def read(self, count=None):
        """Some bytes (exactly `count`, if given); empty at the peer's FIN."""
        while True:
            if self.was_reset:
                raise StreamReset
            if self.buffer and (count is None or len(self.buffer) >= count):
                wanted = len(self.buffer) if count is None else count
                taken = bytes(self.buffer[:wanted])
                del self.buffer[:wanted]
                return taken
            if self.peer_finished or self.closed:
                return b""
            self.changed.clear()
            await self.changed.wait()

    async def write(self, data):
        for start in range(0, len(data), MAX_PAYLOAD):
            if self.closed or self.was_reset:
                raise StreamReset
            await self.session.send(self.number, DATA, data[start:start + MAX_PAYLOAD])

    async def reset(self):
        """RST, and the stream is forgotten. The first implementation only ever sends one for streams
        that it does not know, but the wire has it."""
        if not self.closed:
            self.closed = self.was_reset = True
            self.session.streams.pop(self.number, None)
            self.changed.set()
            await self.session.send(self.number, RST)

    async def close(self):
        """FIN, and the stream is forgotten: a full close."""
        if not self.closed:
            self.closed = True
            self.session.streams.pop(self.number, None)
            self.changed.set()
            if not self.was_reset:
                await self.session.send(self.number, FIN)


class Session:
    def __init__(self, reader, writer, is_client, drop=False, on_stream=None):
        self.reader, self.writer = reader, writer
        self.next_number = 1 if is_client else 2
        self.streams = {}
        self.drop, self.dropped_bytes = drop, 0
        self.on_stream = on_stream
        self.not_taken_up = 0
        self.tasks = set()
        self.dead = False

    async def send(self, number, flags, payload=b""):
        if self.dead:
            raise StreamReset
        try:
            self.writer.write(struct.pack(">IBH", number, flags, len(payload)) + payload)
            await self.writer.drain()
        except ConnectionError:
            raise StreamReset from None

    async def open(self):
        number, self.next_number = self.next_number, self.next_number + 2
        stream = self.streams[number] = Stream(self, number)
        await self.send(number, SYN)
        return stream

    async def run(self):
        """Reads frames until the link ends; every stream ends with it."""
        pings = asyncio.create_task(self._ping())
        try:
            while True:
                number, flags, length = struct.unpack(">IBH", await self.reader.readexactly(7))
                payload = await self.reader.readexactly(length) if length else b""
                await self._handle(number, flags, payload)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, StreamReset):
            pass
        finally:
            self.dead = True
            pings.cancel()
            for stream in list(self.streams.values()):
                stream.on_end(reset=True)
            self.writer.close()

    async def _ping(self):
        while True:
            await asyncio.sleep(PING_INTERVAL)
            await self.send(0, PING)

    async def _handle(self, number, flags, payload):
        if flags & PING:
            return await self.send(0, PONG)
        if flags & PONG:
            return
        if flags & SYN:
            return await self._accept(number)
        stream = self.streams.get(number)
        if stream is None:
            if not flags & RST:
                await self.send(number, RST)
            return
        if flags & RST:
            del self.streams[number]
            return stream.on_end(reset=True)
        if flags & DATA and payload:
            stream.on_data(payload)
        if flags & FIN:
            stream.on_end()

    async def _accept(self, number):
        if self.on_stream is None or self.not_taken_up >= BACKLOG:
            return await self.send(number, RST)
        stream = self.streams[number] = Stream(self, number)
        self.not_taken_up += 1
        task = asyncio.create_task(self._serve(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, stream):
        self.not_taken_up -= 1
        try:
            await self.on_stream(stream)
        except (StreamReset, OSError, ValueError, IndexError, struct.error):
            pass  # the peer went away, or sent no request
        finally:
            try:
                await stream.close()
            except StreamReset:
                pass


async def relay(stream, reader, writer):
    """Both directions until both have ended. The local end of file closes the stream, as there is
    nothing less in version 1: what the other side sends after it is lost."""

    async def from_stream():
        while data := await stream.read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def to_stream():
        while data := await reader.read(65536):
            await stream.write(data)
        await stream.close()

    tasks = [asyncio.create_task(from_stream()), asyncio.create_task(to_stream())]
    try:
        await asyncio.gather(*tasks)
    except (StreamReset, ConnectionError):
        for task in tasks:
            task.cancel()
        writer.transport.abort()
        await stream.reset()


# The server's side: RFC 1928 requests on streams.

async def read_request(stream):
    """CMD, DST.ADDR and DST.PORT of the request at the head of a stream."""
    _, cmd, _, atyp = await stream.read(4)
    if atyp == 1:
        host = str(ipaddress.ip_address(await stream.read(4)))
    elif atyp == 4:
        host = str(ipaddress.ip_address(await stream.read(16)))
    else:
        host = (await stream.read((await stream.read(1))[0])).decode()
    return cmd, host, struct.unpack(">H", await stream.read(2))[0]


def reply(rep, name=("0.0.0.0", 0)):
    packed = ipaddress.ip_address(name[0]).packed
    return struct.pack(">BBBB", 5, rep, 0, 1 if len(packed) == 4 else 4) + packed + \
        struct.pack(">H", name[1])


async def serve_stream(stream):
    cmd, host, port = await read_request(stream)
    if cmd != 1:
        return await stream.write(reply(7))
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return await stream.write(reply(5))
    except OSError:
        return await stream.write(reply(1))
    await stream.write(reply(0, writer.get_extra_info("sockname")))
    try:
        await relay(stream, reader, writer)
    finally:
        writer.close()


async def run_server(options):
    context = None
    if options.tls_cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls_cert, options.tls_key)

    async def serve(reader, writer):
        session = Session(reader, writer, is_client=False, drop=options.drop,
                          on_stream=serve_stream)
        await session.run()
        print(f"link closed, {session.dropped_bytes} bytes dropped", file=sys.stderr, flush=True)

    host, port = split_address(options.listen)
    server = await asyncio.start_server(serve, host, port, ssl=context)
    announce(server)
    await server.serve_forever()


# The client's side: SOCKS5 in front of a link.

async def run_client(options):
    context = None
    if options.tls_ca:
        context = ssl.create_default_context(cafile=options.tls_ca)
    host, port = split_address(options.connect)
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host
                                                   if context else None)
    session = Session(reader, writer, is_client=True, drop=options.drop)

    async def serve(local_reader, local_writer):
        try:
            await serve_socks(session, local_reader, local_writer)
        except (StreamReset, ConnectionError, asyncio.IncompleteReadError):
            local_writer.transport.abort()
        finally:
            local_writer.close()

    server = await asyncio.start_server(serve, *split_address(options.socks))
    announce(server)
    await session.run()
    print(f"link closed, {session.dropped_bytes} bytes dropped", file=sys.stderr, flush=True)


async def serve_socks(session, reader, writer):
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(b"\x05\x00")
    request = await reader.readexactly(4)
    if request[3] == 3:
        length = await reader.readexactly(1)
        request += length + await reader.readexactly(length[0])
    else:
        request += await reader.readexactly(4 if request[3] == 1 else 16)
    request += await reader.readexactly(2)
    stream = await session.open()
    await stream.write(request)
    await relay(stream, reader, writer)


def split_address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def announce(server):
    host, port = server.sockets[0].getsockname()[:2]
    print(f"listen {host}:{port}\nready", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server")
    server.add_argument("--listen", default="127.0.0.1:0")
    server.add_argument("--tls-cert")
    server.add_argument("--tls-key")
    client = roles.add_parser("client")
    client.add_argument("--connect", required=True)
    client.add_argument("--socks", default="127.0.0.1:0")
    client.add_argument("--tls-ca")
    for role in (server, client):
        role.add_argument("--drop", action="store_true", help="lose what exceeds 256 KiB a stream")
    options = parser.parse_args()
    try:
        asyncio.run(run_server(options) if options.role == "server" else run_client(options))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
