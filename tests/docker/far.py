"""A long way between containers: a forwarder on this machine that holds up what goes through it."""

import asyncio
import threading


class Far:
    """Forwards connections made to `listen` (an address; the port is found) to `target` (host, port).
    What comes leaves after `delay` seconds, either way; ends and resets do, too."""

    AT_ONCE = 1 << 22  # bytes under way in one direction

    def __init__(self, listen, target, delay):
        self.accepted = 0
        self._target, self._delay = target, delay
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, listen))
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def close(self):
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=30)

    async def _end(self):
        self._server.close()
        running = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _serve(self, *near):
        self.accepted += 1
        far = (None, None)
        try:
            await asyncio.sleep(self._delay)
            far = await asyncio.open_connection(*self._target)
            await asyncio.gather(self._forward(near[0], far[1]), self._forward(far[0], near[1]))
        except OSError:
            for _, writer in (near, far):
                if writer:
                    writer.transport.abort()
        finally:
            for _, writer in (near, far):
                if writer:
                    writer.close()

    async def _forward(self, source, sink):
        """One direction, to its end."""
        waiting = asyncio.Queue(self.AT_ONCE >> 16)
        sending = asyncio.ensure_future(self._send(waiting, sink))
        try:
            while not sending.done():
                part = await source.read(1 << 16)
                await waiting.put((self._loop.time() + self._delay, part))
                if not part:
                    return await sending
        finally:
            sending.cancel()

    async def _send(self, waiting, sink):
        while True:
            due, part = await waiting.get()
            await asyncio.sleep(due - self._loop.time())
            if not part:
                return sink.write_eof()
            sink.write(part)
            await sink.drain()
