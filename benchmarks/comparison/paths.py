"""Long lines for measurements: two namespaces joined by muxsocks-wan, and the paths between them.

The packets of every peer are late, lost and queued alike, whichever protocol they are of.
"""

from dataclasses import dataclass

from .namespaces import FAR_ADDRESS, NEAR_ADDRESS, Namespace, NamespaceError

DEVICE = "wan"
# The kernel's own queue in front of the program must hold what a busy machine lets wait: what is
# lost is for the path to decide.
DEVICE_QUEUE_PACKETS = 20000


@dataclass(frozen=True)
class Path:
    """Round trip, loss of packets (each way), rate (each way); queues of one bandwidth-delay
    product."""
    round_trip_ms: float
    loss_percent: float
    mbit_s: float

    @property
    def title(self) -> str:
        return f"{self.round_trip_ms:g} ms, {self.loss_percent:g} % loss, {self.mbit_s:g} Mbit/s"

    def commands(self) -> list[str]:
        return [f"delay {self.round_trip_ms / 2:g}ms", f"rate {self.mbit_s:g}mbit", "queue auto",
                f"loss {self.loss_percent:g}"]


# Scene -> path. Of the distances' scenes the names are the works' names, too.
DISTANCES = {
    "distance-1": Path(100, 0.5, 100),
    "distance-2": Path(150, 2, 100),
    "distance-3": Path(40, 0, 50),
    "distance-4": Path(200, 0.1, 500),
}

VOICE = Path(35, 0, 80)
PATHS = {**DISTANCES, "voice": VOICE}


def wan_command(program, near: Namespace, far: Namespace, path: Path, seed: int) -> list[str]:
    command = [str(program), "--near", f"/proc/{near.holder.pid}/ns/net",
               "--far", f"/proc/{far.holder.pid}/ns/net", "--device", DEVICE, "--seed", str(seed)]
    for line in path.commands():
        command += ["--do", line]
    return command


def give_addresses(near: Namespace, far: Namespace, tcp_memory: int) -> None:
    """Once the devices are there. `tcp_memory` is the most that a socket may hold unsent or unread:
    with the kernel's 4 MiB no single connection fills a long fast path."""
    for space, address in ((near, NEAR_ADDRESS), (far, FAR_ADDRESS)):
        space.run("ip", "link", "set", DEVICE, "mtu", "1500",
                  "txqueuelen", str(DEVICE_QUEUE_PACKETS), "up")
        space.run("ip", "address", "add", f"{address}/24", "dev", DEVICE)
        for name, usual in (("rmem", "4096 131072"), ("wmem", "4096 16384")):
            if not space.set(f"net.ipv4.tcp_{name}", f"{usual} {tcp_memory}"):
                raise NamespaceError(f"net.ipv4.tcp_{name} cannot be set in a namespace")
