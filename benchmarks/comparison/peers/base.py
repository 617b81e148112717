"""What every peer has in common."""

from dataclasses import dataclass, field

from ..processes import Process
from ..scenes import Scene


@dataclass
class Running:
    """A started peer: how the load reaches the target through it, and whom to measure."""
    route: list[str]
    client: Process | None = None
    server: Process | None = None
    more: list[Process] = field(default_factory=list)

    @property
    def roles(self) -> list[str]:
        return [role for role, process in (("client", self.client), ("server", self.server))
                if process is not None]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in (self.client, self.server) if process is not None]


class Peer:
    """One program, or pair of programs, between the load and the target."""

    name = ""
    title = ""
    # program -> package that has it
    programs: dict[str, str] = {}
    # Whether it speaks SOCKS5; a relay knows one target only.
    socks = True
    # Whether it takes part only where --peers names it.
    only_if_named = False
    # Whether it carries datagrams (UDP ASSOCIATE), and uploads.
    udp = False
    uploads = True
    # Works that would say nothing about it or take for ever, with the reason.
    unfit: dict[str, str] = {}

    def missing(self, scene_tools) -> str:
        """Why the peer cannot run although its packages are there; empty if it can."""
        del scene_tools
        return ""

    def start(self, scene: Scene) -> Running:
        """Starts it in the scene. It may still be getting ready; the caller probes."""
        raise NotImplementedError

    def route(self, scene: Scene) -> list[str]:
        return ["--socks" if self.socks else "--relay", scene.socks, "--target", scene.target]

    def program(self, scene: Scene, name: str) -> tuple[list[str], dict[str, str]]:
        """The path of a program as the beginning of a command, and its environment."""
        path = scene.tools.packages.find(name)
        return [path], scene.tools.packages.environment(path)


class OneHop(Peer):
    """A SOCKS5 server that stands alone. Where there is a long link, it lies in front of this hop."""

    def listen(self, scene: Scene) -> str:
        return scene.server if scene.kind == "delayed" else scene.socks

    def route(self, scene: Scene) -> list[str]:
        return ["--socks", scene.way_to(self.listen(scene)), "--target", scene.target]
