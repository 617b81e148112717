"""A server, clients and a target for the tools of this folder: on loopback, with TLS by a throw-away
certificate, in a folder that the caller removes."""

import json
import os
import signal
import socket
import subprocess
import time

WAIT_SECONDS = 60
TOKEN = "0123456789abcdef0123456789abcdef"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(folder):
    """cert.pem and key.pem, for localhost."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "60", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        cwd=folder, check=True, stderr=subprocess.DEVNULL)
    os.chmod(os.path.join(folder, "key.pem"), 0o600)


class Programs:
    """Programs that run until end(). They come from the folder `build`; `wrapper` is a command in front
    of those of muxsocks, such as valgrind's."""

    def __init__(self, build, folder, wrapper=()):
        self.build, self.folder = build, folder
        self._wrapper = wrapper
        self._running = []

    def start(self, command, port, **options):
        """Returns once it listens; if that fails, all end."""
        process = subprocess.Popen(command, cwd=self.folder, **options)
        self._running.append(process)
        until = time.monotonic() + WAIT_SECONDS
        while process.poll() is None and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process
            except OSError:
                time.sleep(0.02)
        ended = process.poll()
        self.end()
        raise SystemExit(f"{command[0]} does not listen" if ended is None else
                         f"{command[0]} ended with {ended}")

    def start_server(self, users, **settings):
        """Returns it and its port."""
        port = free_port()
        return self._start_muxsocks("server", "server", port, {
            "listen": f"127.0.0.1:{port}", "tls": {"cert": "cert.pem", "key": "key.pem"},
            "users": users, "destinations": {"allow_private": True}, **settings}), port

    def start_client(self, user, token, server, **settings):
        """Returns it and its port; `server` is the server's."""
        port = free_port()
        return self._start_muxsocks("client", f"client-{user}", port, {
            "listen": f"127.0.0.1:{port}", "server": f"127.0.0.1:{server}",
            "tls": {"ca": "cert.pem", "server_name": "localhost"},
            "auth": {"user": user, "token": token}, **settings}), port

    def start_target(self):
        """muxsocks-load's; returns its port."""
        port = free_port()
        self.start([f"{self.build}/muxsocks-load", "target", "--listen", f"127.0.0.1:{port}"], port,
                   stdout=subprocess.DEVNULL)
        return port

    def _start_muxsocks(self, role, name, port, settings):
        path = os.path.join(self.folder, f"{name}.json")
        with open(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w",
                  encoding="utf-8") as file:
            json.dump({"log": {"level": "error"}, **settings}, file)
        return self.start([*self._wrapper, f"{self.build}/muxsocks-{role}", "-c", path], port)

    def end(self):
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Pair(Programs):
    """A server and a client with resumption on or off, and a target."""

    def __init__(self, build, folder, resume=True, wrapper=()):
        super().__init__(build, folder, wrapper)
        settings = {"resume": {"enabled": resume}, "log": {"level": "warning"}}
        self.server, link = self.start_server([{"name": "me", "token": TOKEN}], **settings)
        self.client, self.socks = self.start_client("me", TOKEN, link, **settings)
        self.target = self.start_target()
