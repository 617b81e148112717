"""An HTTP and HTTPS server for real clients: files, uploads, and a page with many parts."""

import hashlib
import http.server
import os
import socket
import ssl
import threading
from urllib.parse import urlparse


class WebServer:
    """Serves `folder`; remembers the requests as (method, path, Host) in `requests`, and of each
    upload its path, length and SHA-256 in `uploads`."""

    def __init__(self, folder, host="127.0.0.1", keys=None):
        self.folder = folder
        self.requests = []
        self.uploads = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        class Server(http.server.ThreadingHTTPServer):
            address_family = family
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass  # a client that goes away is part of many tests

        self._server = Server((host, 0), _handler_for(self))
        if keys is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(keys.cert, keys.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
        self.host, self.port = self._server.server_address[:2]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


def _handler_for(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def do_GET(self):
            path = urlparse(self.path).path
            server.requests.append(("GET", path, self.headers.get("Host", "")))
            file = server.folder / path.lstrip("/")
            if not file.is_file():
                return self._answer(404, b"no such file")
            kind = {".html": "text/html", ".js": "text/javascript", ".css": "text/css",
                    ".svg": "image/svg+xml"}.get(file.suffix, "application/octet-stream")
            size = file.stat().st_size
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.flush()
            with open(file, "rb") as content:
                if isinstance(self.connection, ssl.SSLSocket):
                    while block := content.read(1 << 20):
                        self.wfile.write(block)
                    return
                offset = 0
                while offset < size:
                    offset += os.sendfile(self.connection.fileno(), content.fileno(), offset,
                                          size - offset)

        def do_POST(self):
            server.requests.append((self.command, self.path, self.headers.get("Host", "")))
            digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
            if self.headers.get("Expect", "").lower() == "100-continue":
                pass  # BaseHTTPRequestHandler has answered it
            total = left
            while left:
                block = self.rfile.read(min(left, 1 << 20))
                if not block:
                    return
                digest.update(block)
                left -= len(block)
            server.uploads.append((self.path, total, digest.hexdigest()))
            self._answer(200, digest.hexdigest().encode())

        do_PUT = do_POST

        def _answer(self, code, body):
            self.send_response(code)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def random_file(path, size):
    """A file of random bytes; returns its SHA-256."""
    digest = hashlib.sha256()
    with open(path, "wb") as out:
        while size:
            block = os.urandom(min(size, 1 << 22))
            digest.update(block)
            out.write(block)
            size -= len(block)
    return digest.hexdigest()


def sha256_of(path):
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
