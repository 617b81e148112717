"""A listener on the wire: passes a link on unchanged and keeps every byte of both directions."""

import socket
import threading

from . import servers


class Recorder:
    """Listens on a port of its own and passes each connection on to `target`. `links` are what
    passed, oldest first, as {"up": bytearray, "down": bytearray}."""

    def __init__(self, target):
        self.target = target
        self.links = []
        self._open = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.refusing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                servers.reset(client)
                continue
            server = socket.create_connection(self.target)
            record = {"up": bytearray(), "down": bytearray()}
            with self._lock:
                self.links.append(record)
                self._open += [client, server]
            for source, sink, kept in ((client, server, record["up"]),
                                       (server, client, record["down"])):
                threading.Thread(target=self._pass_on, args=(source, sink, kept),
                                 daemon=True).start()

    @staticmethod
    def _pass_on(source, sink, kept):
        try:
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for each in (source, sink):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def cut(self):
        """Ends what passes now, on both sides."""
        with self._lock:
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                each.close()
            self._open.clear()

    def stop(self):
        self._listener.close()
        self.cut()
