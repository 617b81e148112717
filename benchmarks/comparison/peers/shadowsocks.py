"""shadowsocks-libev: an encrypted connection, or datagram, for each of the user's, AES-128-GCM."""

from ..scenes import Scene
from .base import Peer, Running

METHOD = "aes-128-gcm"


class Shadowsocks(Peer):
    name = "shadowsocks"
    title = "shadowsocks-libev"
    udp = True
    programs = {"ss-server": "shadowsocks-libev", "ss-local": "shadowsocks-libev"}

    def start(self, scene: Scene) -> Running:
        secret = ["-k", scene.tools.keys.password, "-m", METHOD, "--no-delay", "-u"]
        program, environment = self.program(scene, "ss-server")
        address, port = scene.server.rsplit(":", 1)
        server = scene.start_far("ss-server", [*program, "-s", address, "-p", port, *secret],
                                 environment=environment)
        program, environment = self.program(scene, "ss-local")
        link, link_port = scene.way_to(scene.server).rsplit(":", 1)
        address, port = scene.socks.rsplit(":", 1)
        client = scene.start_near("ss-local", [*program, "-s", link, "-p", link_port, "-b", address,
                                               "-l", port, *secret], environment=environment)
        return Running(self.route(scene), client, server)
