"""The status listener, asked over its unix socket or TCP."""

import http.client
import json
import socket


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def ask(where, target, method="GET", **headers):
    """Status, headers and text of an answer; `where` is a socket's path, or a port."""
    connection = (http.client.HTTPConnection("127.0.0.1", where, timeout=10)
                  if isinstance(where, int) else UnixConnection(where))
    connection.request(method, target, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def document(where, target):
    status, headers, text = ask(where, target)
    assert status == 200 and headers["Content-Type"] == "application/json", text
    found = json.loads(text)
    assert found["version"] == 1
    return found


def metrics(where):
    """Each series with its value."""
    status, headers, text = ask(where, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4"), text
    return {name: float(value) for name, value in
            (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))}
