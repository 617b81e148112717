"""Where a measurement happens: the namespaces, the addresses in them, and the path between the
proxy's two halves.

    loopback   everything in one namespace
    paced      two namespaces, joined by veth; tbf lets 100 MB/s through in each direction
    delayed    one namespace; the link goes through muxsocks-relay: 100 ms round trip, 1 Gbit/s,
               a queue of twice the bandwidth-delay product
    distance-N, voice
               two namespaces, joined by muxsocks-wan with one of the paths of paths.py

In each, "near" is where the load generator and the proxy's client half run, "far" where the proxy's
server half and the target run.
"""

import socket
from dataclasses import dataclass, field
from pathlib import Path

from .keys import Keys
from .namespaces import (FAR_ADDRESS, NEAR_ADDRESS, HostNetwork, Namespace,
                         join_with_veth)
from .packages import Packages
from .paths import PATHS, give_addresses, wan_command
from .processes import Process

LOOPBACK = "127.0.0.1"
# In a namespace of one's own every port is free.
PORTS = {"target": 9000, "socks": 1080, "server": 8443, "relay": 8500, "downgrade": 8600}

# 800 Mbit/s are 100 MB/s; the queue holds 192 KB, some 2 ms of it.
PACING = ["tbf", "rate", "800mbit", "burst", "64k", "limit", "192k"]

DELAY = ["delay both 50ms", "rate both 1gbit", "queue auto"]


@dataclass
class Tools:
    """What every scene of one run shares."""
    load: Path
    relay: Path | None
    wan: Path | None
    client: Path
    server: Path
    packages: Packages
    keys: Keys
    folder: Path
    congestion: str
    namespaces: bool = True
    # The most that a socket holds on long lines, in bytes.
    tcp_memory: int = 64 << 20


def free_ports(names) -> dict[str, int]:
    """A port that nobody uses now for each name."""
    sockets = {name: socket.socket() for name in names}
    for one in sockets.values():
        one.bind((LOOPBACK, 0))
    ports = {name: one.getsockname()[1] for name, one in sockets.items()}
    for one in sockets.values():
        one.close()
    return ports


@dataclass
class Scene:
    """One measurement's surroundings; close() ends every process in it."""
    tools: Tools
    kind: str
    # Of what is random on the path: the same for all peers of a round.
    seed: int = 1
    near: Namespace | HostNetwork = field(init=False)
    far: Namespace | HostNetwork = field(init=False)

    def __post_init__(self):
        self._processes: list[Process] = []
        self._ports = PORTS if self.tools.namespaces else free_ports(PORTS)
        self._helpers: list[Process] = []
        self.near = self._space()
        apart = self.kind == "paced" or self.kind in PATHS
        self.far = self._space() if apart else self.near
        self.far_address = FAR_ADDRESS if apart else LOOPBACK
        # Where the far side sees the near one come from.
        self.near_address = NEAR_ADDRESS if apart else LOOPBACK
        try:
            if self.kind in PATHS:
                self._join_with_wan()
            if self.kind == "paced":
                join_with_veth(self.near, self.far, PACING)
            self._helpers.append(self.start_far(
                "target", [str(self.tools.load), "target", "--listen", self.target]))
            self._helpers[-1].wait_for_output("listening", 10)
        except BaseException:
            self.close()
            raise

    def _join_with_wan(self) -> None:
        self._helpers.append(self._start(HostNetwork(), "wan", wan_command(
            self.tools.wan, self.near, self.far, PATHS[self.kind], self.seed)))
        self._helpers[-1].wait_for_output("ready", 10)
        give_addresses(self.near, self.far, self.tools.tcp_memory)

    def _space(self):
        return Namespace(self.tools.congestion) if self.tools.namespaces else HostNetwork()

    @property
    def target(self) -> str:
        """The target as the far side reaches it."""
        return f"{self.far_address}:{self._ports['target']}"

    @property
    def socks(self) -> str:
        """Where the near half of a peer listens."""
        return f"{LOOPBACK}:{self._ports['socks']}"

    @property
    def server(self) -> str:
        """Where the far half of a peer listens."""
        return f"{self.far_address}:{self._ports['server']}"

    def way_to(self, address: str) -> str:
        """How the near side reaches an address of the far side: through the relay if there is
        one. At most one relay is in a scene."""
        if self.kind != "delayed":
            return address
        listen = f"{LOOPBACK}:{self._ports['relay']}"
        command = [str(self.tools.relay), "--listen", listen, "--target", address]
        for line in DELAY:
            command += ["--do", line]
        self.start_helper("relay", command).wait_for_output("ready", 10)
        return listen

    @property
    def downgrade(self) -> str:
        """Where a helper in front of the far half listens, at the near side."""
        return f"{LOOPBACK}:{self._ports['downgrade']}"

    def start_helper(self, name: str, command: list[str]) -> Process:
        """A program at the near side that takes part but is not measured."""
        helper = self.start_near(name, command)
        self._helpers.append(helper)
        return helper

    def start_near(self, name: str, command: list[str], **more) -> Process:
        return self._start(self.near, name, command, **more)

    def start_far(self, name: str, command: list[str], **more) -> Process:
        return self._start(self.far, name, command, **more)

    def _start(self, space, name: str, command: list[str], **more) -> Process:
        log = self.tools.folder / f"{name}.log"
        process = Process(space, name, command, log, **more)
        self._processes.append(process)
        return process

    @property
    def helpers(self) -> list[int]:
        """Processes that take part but are not measured."""
        return [process.pid for process in self._helpers]

    def stop_target(self) -> None:
        """Makes room for somebody else's targets."""
        target = self._helpers.pop()
        self._processes.remove(target)
        target.stop()

    def check(self) -> None:
        """Raises when one of the programs has ended."""
        for process in self._processes:
            process.check()

    def close(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
        for space in {id(self.near): self.near, id(getattr(self, "far", self.near)):
                      getattr(self, "far", self.near)}.values():
            space.close()
