"""microsocks: one hop, no encryption, a thread a connection."""

from ..scenes import Scene
from .base import Peer, Running


class Microsocks(Peer):
    name = "microsocks"
    title = "microsocks (one hop, no TLS)"
    programs = {"microsocks": "microsocks"}

    def start(self, scene: Scene) -> Running:
        microsocks, environment = self.program(scene, "microsocks")
        # Where there is a long link it lies in front of this one hop.
        listen = scene.server if scene.kind == "delayed" else scene.socks
        address, port = listen.rsplit(":", 1)
        server = scene.start_near("microsocks", [*microsocks, "-i", address, "-p", port],
                                  environment=environment)
        socks = scene.way_to(listen) if scene.kind == "delayed" else listen
        return Running(["--socks", socks, "--target", scene.target], None, server)
