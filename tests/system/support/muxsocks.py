"""muxsocks-server and muxsocks-client as the tests see them: configured, started, asked, stopped."""

import copy
import json
import os
import re
import signal
from pathlib import Path

from . import deadline, programs

TOKEN = "correct-horse-battery-staple-0123456789"


def merge(base, changes):
    """`base` with the changes laid over it, key by key; a value of None takes the key away."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def server_config(keys, port):
    return {
        "listen": f"127.0.0.1:{port}",
        "tls": {"cert": str(keys.cert), "key": str(keys.key)},
        "users": [{"name": "alice", "token": TOKEN}],
        "destinations": {"allow_private": True},
        "timeouts": {"drain": "2s"},
        "log": {"level": "debug"},
    }


def client_config(keys, port, server):
    return {
        "listen": f"127.0.0.1:{port}",
        "server": server,
        "auth": {"user": "alice", "token": TOKEN},
        "tls": {"ca": str(keys.ca)},
        "timeouts": {"drain": "2s"},
        "log": {"level": "debug"},
    }


def write_config(folder, role, config):
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob(f"{role}*.json")))
    path = folder / (f"{role}.json" if number == 0 else f"{role}-{number}.json")
    path.write_text(json.dumps(config, indent=2))
    path.chmod(0o600)
    return path


def tcp_sockets(pid):
    """The lines, as lists of words, in which the kernel describes the TCP sockets of the process's
    network namespace. A kernel without IPv6 has no second table."""
    tables = (Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6"))
    return [line.split() for table in tables if table.exists()
            for line in table.read_text().splitlines()[1:]]


def listening(pid, port):
    """Whether the process's network namespace has a listening socket on the port. Asking the kernel
    leaves no connection behind in the program."""
    return any(fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port
               for fields in tcp_sockets(pid))


def holds_connection(pid, local_port, remote_port):
    """Whether a connection between the two ports of one host is open at the side of `local_port`,
    in any state but TIME_WAIT."""
    for fields in tcp_sockets(pid):
        ports = [int(field.rsplit(":", 1)[1], 16) for field in fields[1:3]]
        if ports == [local_port, remote_port] and fields[3] != "06":
            return True
    return False


class Muxsocks(programs.Program):
    """One of the two programs, running. `port` is the first that it listens on."""

    def __init__(self, role, folder, config, prefix=(), wait=True, arguments=(), **options):
        self.role, self.folder, self.config = role, folder, config
        self.config_path = write_config(folder, role, config)
        super().__init__([*prefix, programs.binary(f"muxsocks-{role}"), *arguments,
                          "-c", self.config_path], folder, name=role, **options)
        listen = config["listen"]
        first = listen if isinstance(listen, str) else listen[0]
        self.host, self.port = first.rpartition(":")[0].strip("[]"), int(first.rpartition(":")[2])
        if wait:
            self.wait_until_listening()

    @property
    def endpoint(self):
        return self.host, self.port

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def wait_until_listening(self, timeout=10):
        def ready():
            if not self.running():
                raise AssertionError(f"{self.role} ended with {self.process.returncode}:\n"
                                     f"{self.last_words()}")
            return listening(self.pid, self.port)

        deadline.wait_until(ready, timeout, lambda: f"{self.role} to listen:\n{self.last_words()}")

    def statistics(self, timeout=10):
        """What SIGUSR1 makes it log, summed over all links and threads: streams now and opened,
        links, resumptions, and the bytes that sessions hold."""
        earlier = len(self.log().splitlines())
        wanted = 1 if self.role == "server" else self.config.get("sessions", 1)
        last = r" sessions, .* held by the process$" if self.role == "server" else r"link to \S+: "
        self.send(signal.SIGUSR1)

        def complete():
            new = self.log().splitlines()[earlier:]
            return new if sum(bool(re.search(last, line)) for line in new) >= wanted else None

        text = "\n".join(deadline.wait_until(complete, timeout, "statistics to be logged"))
        sums = {"streams": r": (?:up, |detached, )?(\d+) streams", "opened": r"(\d+) opened",
                "resumed": r"(\d+) resumed", "held": r"(\d+) bytes held$"}
        found = {name: sum(map(int, re.findall(pattern, text, re.MULTILINE)))
                 for name, pattern in sums.items()}
        return {**found, "links": len(re.findall(r"session of |link to \S+: up", text))}

    def reload(self, config):
        """Writes the configuration over the old one and sends SIGHUP."""
        self.config = config
        self.config_path.write_text(json.dumps(config, indent=2))
        self.send(signal.SIGHUP)

    def lines(self, pattern):
        """Log lines that match."""
        expression = re.compile(pattern, re.IGNORECASE)
        return [line for line in self.log().splitlines() if expression.search(line)]

    def says(self, pattern, timeout=5):
        """Waits for a line of the log, which a thread of its own writes: those that fit."""
        return deadline.wait_until(lambda: self.lines(pattern), timeout,
                                   lambda: f"a line with '{pattern}' in\n{self.log()}")


def check(role, folder, config, *arguments):
    """Runs the program with `-t` (or the arguments given) on a configuration, a dict or a text."""
    if isinstance(config, str):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{role}.json"
        path.write_text(config)
    else:
        path = write_config(folder, role, config)
    return programs.run([programs.binary(f"muxsocks-{role}"), "-c", path, *(arguments or ["-t"])],
                        timeout=10)


class Pair:
    """A server, a client, and if wanted a relay between them, started when the test says so."""

    def __init__(self, folder, keys, start_relay, server=None, client=None, relay=None):
        self.folder, self.keys, self._start_relay = folder, keys, start_relay
        server_port, client_port = programs.free_port(), programs.free_port()
        self.server_settings = merge(server_config(keys, server_port), server or {})
        self.server_endpoint = ("127.0.0.1", server_port)
        self.relay = None
        link_to = f"127.0.0.1:{server_port}"
        if relay is not None:
            self.relay = start_relay(self.server_endpoint, *relay)
            link_to = self.relay.address
        self.client_settings = merge(client_config(keys, client_port, link_to), client or {})
        self.server = self.client = None
        self._started = []

    def start_server(self, **options):
        self.server = Muxsocks("server", self.folder, self.server_settings, **options)
        self._started.append(self.server)
        return self.server

    def start_client(self, wait_for_link=True, **options):
        self.client = Muxsocks("client", self.folder, self.client_settings, **options)
        self._started.append(self.client)
        if wait_for_link:
            self.wait_for_link()
        return self.client

    def start(self):
        self.start_server()
        self.start_client()
        return self

    def wait_for_link(self, count=1, timeout=10):
        self.client.wait_for_log(LINK_UP, timeout, count)

    @property
    def socks(self):
        """Where applications connect to, as (host, port)."""
        return self.client.endpoint

    @property
    def programs(self):
        return [each for each in (self.client, self.server) if each is not None]

    def stop(self):
        """Stops what runs, clients first; each has to end in time with exit code 0."""
        complaints = []
        for each in reversed(self._started):
            if each.process.poll() is not None:
                continue
            try:
                code = each.stop()
                if code != 0:
                    complaints.append(f"{each.role} ended with {code}:\n{each.log()[-4000:]}")
            except AssertionError as late:
                complaints.append(str(late)[-4000:])
        for each in self._started:
            if "Sanitizer" in each.log():
                complaints.append(each.log()[-8000:])
        assert not complaints, "\n".join(complaints)


# What the programs log, in one place.
LINK_UP = r"link to .* is up"
LINK_DOWN = r"link to .* (lost|failed)|session with .* is over"
