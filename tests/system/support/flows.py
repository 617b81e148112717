"""Many connections that move as much as they can, and how much each has moved."""

import selectors
import time


class Flows:
    """`reads`: whether bytes are read from the connections, else they are written."""

    BLOCK = bytes(64 * 1024)

    def __init__(self, connections, reads=True):
        self.reads = reads
        self.moved = {each: 0 for each in connections}
        self._selector = selectors.DefaultSelector()
        for each in connections:
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ if reads else selectors.EVENT_WRITE)

    def run(self, seconds):
        """Moves bytes for so long; returns the time that it took, and what each has moved in it."""
        before, begun = dict(self.moved), time.monotonic()
        while (now := time.monotonic()) < begun + seconds:
            for key, _ in self._selector.select(begun + seconds - now):
                try:
                    size = (len(key.fileobj.recv(256 * 1024)) if self.reads
                            else key.fileobj.send(self.BLOCK))
                except BlockingIOError:
                    continue
                assert size > 0, "end of file"
                self.moved[key.fileobj] += size
        return now - begun, [self.moved[each] - before[each] for each in before]

    def close(self):
        self._selector.close()
        for each in self.moved:
            each.close()
