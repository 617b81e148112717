"""A plain two-hop relay, 64 KiB buffers, a process a connection: the least a detour costs."""

from ..scenes import Scene
from .base import Peer, Running

BUFFER_BYTES = 65536


class SocatPair(Peer):
    name = "relay"
    title = "plain two-hop relay (socat)"
    programs = {"socat": "socat"}
    socks = False
    unfit = {"idle": "a process a connection", "crowd": "a process a connection"}

    def start(self, scene: Scene) -> Running:
        socat, environment = self.program(scene, "socat")

        def relay(start, name: str, listen: str, to: str):
            address, port = listen.rsplit(":", 1)
            return start(name, [
                *socat, "-b", str(BUFFER_BYTES),
                f"TCP-LISTEN:{port},bind={address},reuseaddr,fork,backlog=4096,nodelay",
                f"TCP:{to},nodelay"], environment=environment)

        server = relay(scene.start_far, "socat-server", scene.server, scene.target)
        client = relay(scene.start_near, "socat-client", scene.socks, scene.way_to(scene.server))
        return Running(self.route(scene), client, server)
