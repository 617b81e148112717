"""Random exchanges of HTTP/1: what a client sends, what the server behind the proxy must get, what it
answers, and what the client must get back. Everything follows from a seed."""

import random

from . import servers

CHUNK_EXTENSIONS = ["", "", ";a", ";name=value;quoted=\"x;y\""]


def chunked(random_, body):
    """The body in chunks, as it stands on the wire."""
    wire, position = b"", 0
    while position < len(body):
        size = random_.randint(1, max(1, min(len(body) - position, random_.choice([3, 500, 70_000]))))
        digits = random_.choice(["%x", "%X", "%05x"]) % size
        wire += f"{digits}{random_.choice(CHUNK_EXTENSIONS)}\r\n".encode()
        wire += body[position:position + size] + b"\r\n"
        position += size
    trailer = random_.choice([b"", b"", b"X-Sum: 1\r\n", b"A:\r\nB: c d\r\n"])
    return wire + random_.choice([b"0", b"000"]) + b"\r\n" + trailer + b"\r\n"


class Exchange:
    def __init__(self, seed, number):
        self.number = number
        r = self.random = random.Random(f"{seed}/{number}")
        self.old = r.random() < 0.15
        self.method = r.choice(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
        self.persists = r.random() < (0.3 if self.old else 0.85)
        self.request_fields, self.request_body = self._body(
            r, r.choice(["none", "length"] if self.old else ["none", "length", "chunked"])
            if self.method not in ("GET", "HEAD") else "none")
        self.interim = [] if self.old else [b"HTTP/1.1 103 Early Hints\r\nLink: <%d>\r\n\r\n" % i
                                            for i in range(r.choice([0, 0, 0, 1, 2]))]
        self.status = r.choice([200, 200, 200, 201, 204, 304, 404, 500])
        old_server = r.random() < 0.2
        self.status_line = f"HTTP/1.{0 if old_server else 1} {self.status}" + r.choice(
            ["", " ", " Some reason", " Gr\xfcn"])
        framings = ["none" if self.status in (204, 304) else "end", "length"]
        if not old_server:
            framings += ["chunked"] * 2
        self.framing = r.choice(framings)
        self.answer_fields, body = self._body(r, self.framing)
        self.bodyless = self.method == "HEAD" or self.status in (204, 304)
        self.answer_body = b"" if self.bodyless else body
        self.server_closes = (self.framing == "end" and not self.bodyless) or old_server or self.old \
            or r.random() < 0.2
        # A body that ends early, by an end of file or a reset.
        self.cut = None
        if self.answer_body and self.framing in ("length", "chunked") and r.random() < 0.08:
            self.cut = (r.randrange(len(self.answer_body)), r.choice(["end", "reset"]))

    @staticmethod
    def _body(r, framing):
        body = r.randbytes(r.choice([0, 1, 10, 1000, 20_000, r.randrange(300_000)]))
        if framing == "length":
            return f"Content-Length: {len(body)}\r\n", body
        if framing == "chunked":
            return "Transfer-Encoding: chunked\r\n", chunked(r, body)
        return "", body if framing == "end" else b""

    @property
    def keeps_application(self):
        return self.persists and (self.framing != "end" or self.bodyless)

    def request(self, authority):
        fields = self.request_fields
        if self.persists and self.old:
            fields += "Proxy-Connection: keep-alive\r\n"
        if not self.persists and not self.old:
            fields += "Connection: close, X-Hop\r\nX-Hop: secret\r\n"
        return (f"{self.method} http://{authority}/{self.number} HTTP/1.{0 if self.old else 1}\r\n"
                f"Host: {authority}\r\nX-Number: {self.number}\r\nProxy-Authorization: Basic secret\r\n"
                f"{fields}\r\n").encode() + self.request_body

    def expected_head(self, authority):
        """What the server must get in front of the body."""
        version = 0 if self.old else 1
        close = "Connection: close\r\n" if self.old else ""
        return (f"{self.method} /{self.number} HTTP/1.{version}\r\nHost: {authority}\r\n"
                f"X-Number: {self.number}\r\n{self.request_fields}{close}\r\n").encode()

    def answer_head(self):
        close = "Connection: close\r\n" if self.server_closes else ""
        return (f"{self.status_line}\r\nX-Number: {self.number}\r\n{close}{self.answer_fields}"
                "\r\n").encode("latin-1")


def send_in_pieces(connection, data, r):
    """Cut anywhere, in pieces of very different sizes."""
    position = 0
    while position < len(data):
        size = r.choice([1, 7, 1000, 30_000, 1 << 20])
        connection.sendall(data[position:position + size])
        position += size


class Server:
    """A handler for servers.TargetServer that plays the answers of `plan`, and keeps what was wrong
    with requests in `faults`."""

    def __init__(self, plan):
        self.plan, self.faults, self.authority, self.connections = plan, [], None, 0

    def __call__(self, connection):
        self.connections += 1
        while self._serve_one(connection):
            pass

    def _serve_one(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = connection.recv(1)
            if not byte:
                if head:
                    self.faults.append(f"cut head: {head!r}")
                return False
            head += byte
        exchange = self.plan[int(head.split(b" ")[1][1:])]
        if head != exchange.expected_head(self.authority):
            self.faults.append(f"{head!r} instead of {exchange.expected_head(self.authority)!r}")
        body = servers.read_exactly(connection, len(exchange.request_body))
        if body != exchange.request_body:
            self.faults.append(f"another body in {exchange.number}")
        answer = b"".join(exchange.interim) + exchange.answer_head()
        if exchange.cut:
            answer += exchange.answer_body[:exchange.cut[0]]
            send_in_pieces(connection, answer, exchange.random)
            if exchange.cut[1] == "reset":
                servers.reset(connection)
            return False
        send_in_pieces(connection, answer + exchange.answer_body, exchange.random)
        return not exchange.server_closes
