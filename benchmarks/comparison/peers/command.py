"""A peer that the user brings along: --peer-command NAME FAR NEAR.

FAR and NEAR are shell commands that start its two halves; a half that is not needed is an empty
text. In both, these are replaced:

    {server}, {server_host}, {server_port}   where the far half is to listen
    {link}, {link_host}, {link_port}         where the near half finds it
    {socks}, {socks_host}, {socks_port}      where the near half is to speak SOCKS5
    {certificate}, {key}, {ca}               PEM files; the certificate is for {server_name}
    {password}                               a throw-away secret
"""

from ..keys import SERVER_NAME
from ..scenes import Scene
from .base import Peer, Running


class CommandPeer(Peer):
    udp = True  # as far as anybody knows

    def __init__(self, name: str, far: str, near: str):
        self.name = name
        self.title = name
        self._far = far
        self._near = near

    def start(self, scene: Scene) -> Running:
        keys = scene.tools.keys
        words = {"certificate": keys.certificate, "key": keys.key, "ca": keys.ca,
                 "password": keys.password, "server_name": SERVER_NAME}
        link = scene.way_to(scene.server) if "{link" in self._near else scene.server
        for name, address in (("server", scene.server), ("socks", scene.socks), ("link", link)):
            words[name] = address
            words[f"{name}_host"], words[f"{name}_port"] = address.rsplit(":", 1)

        def begin(start, half: str, command: str):
            for name, value in words.items():
                command = command.replace("{" + name + "}", str(value))
            return start(f"{self.name}-{half}", ["sh", "-c", f"exec {command}"])

        server = begin(scene.start_far, "far", self._far) if self._far else None
        client = begin(scene.start_near, "near", self._near) if self._near else None
        return Running(self.route(scene), client, server)
