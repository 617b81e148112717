"""microsocks: one hop, no encryption, a thread a connection."""

from ..scenes import Scene
from .base import OneHop, Running


class Microsocks(OneHop):
    name = "microsocks"
    title = "microsocks (one hop, no TLS)"
    programs = {"microsocks": "microsocks"}

    def start(self, scene: Scene) -> Running:
        microsocks, environment = self.program(scene, "microsocks")
        address, port = self.listen(scene).rsplit(":", 1)
        server = scene.start_near("microsocks", [*microsocks, "-i", address, "-p", port],
                                  environment=environment)
        return Running(self.route(scene), None, server)
