"""No proxy: what the machine and the load generator themselves can do."""

from ..scenes import Scene
from .base import Peer, Running


class Direct(Peer):
    name = "direct"
    title = "no proxy"
    socks = False
    udp = True

    def start(self, scene: Scene) -> Running:
        return Running(["--relay", scene.way_to(scene.target), "--target", scene.target])
