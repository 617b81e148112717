"""muxsocks itself: with TLS as it is by default, without TLS, and as a version 1 peer."""

import json
import sys

from ..downgrade import __file__ as downgrade_program
from ..keys import SERVER_NAME
from ..scenes import Scene
from .base import Peer, Running

USER = "bench"


class Muxsocks(Peer):
    name = "muxsocks"
    title = "muxsocks"
    tls = True
    udp = True

    def missing(self, scene_tools) -> str:
        for program in (scene_tools.client, scene_tools.server):
            if not program.exists():
                return f"{program.name} is not built"
        return ""

    def start(self, scene: Scene) -> Running:
        tools = scene.tools
        running = []
        for start, program, config in (
                (scene.start_far, tools.server, self.server_config(scene)),
                (scene.start_near, tools.client, self.client_config(scene))):
            file = tools.folder / f"{program.name}.json"
            file.write_text(json.dumps(config, indent=2))
            running.append(start(program.name, [str(program), "-c", str(file)]))
        server, client = running
        return Running(self.route(scene), client, server)

    def server_config(self, scene: Scene) -> dict:
        keys = scene.tools.keys
        tls = {"cert": str(keys.certificate), "key": str(keys.key)} if self.tls else \
            {"enabled": False}
        return {
            "listen": scene.server,
            "tls": tls,
            "users": [{"name": USER, "token": keys.token}],
            # The targets are on this machine, which is denied by default.
            "destinations": {"allow": [f"{scene.far_address}/32", "::1/128"]},
        }

    def client_config(self, scene: Scene) -> dict:
        keys = scene.tools.keys
        tls = {"ca": str(keys.ca), "server_name": SERVER_NAME} if self.tls else {"enabled": False}
        return {
            "listen": [scene.socks],
            "server": scene.way_to(scene.server),
            "auth": {"user": USER, "token": keys.token},
            "tls": tls,
        }


class MuxsocksTwo(Muxsocks):
    """What a second thread gives: with one session it has nothing to do."""
    name = "muxsocks-2"
    title = "muxsocks, 2 threads, 2 sessions"
    only_if_named = True

    def server_config(self, scene: Scene) -> dict:
        return {**super().server_config(scene), "threads": 2}

    def client_config(self, scene: Scene) -> dict:
        return {**super().client_config(scene), "threads": 2, "sessions": 2}


class MuxsocksWithLink(Muxsocks):
    """With the same `link` at both ends."""
    link: dict = {}
    only_if_named = True

    def server_config(self, scene: Scene) -> dict:
        return {**super().server_config(scene), "link": self.link}

    def client_config(self, scene: Scene) -> dict:
        return {**super().client_config(scene), "link": self.link}


class MuxsocksBbr(MuxsocksWithLink):
    """For long lines it is the default where the kernel has it."""
    name = "muxsocks-bbr"
    title = "muxsocks with BBR"
    link = {"congestion": "bbr"}


class MuxsocksCubic(MuxsocksWithLink):
    name = "muxsocks-cubic"
    title = "muxsocks with cubic"
    link = {"congestion": "cubic"}


class MuxsocksOne(MuxsocksWithLink):
    name = "muxsocks-one"
    title = "muxsocks, one link"
    link = {"max": 1}


class MuxsocksHttp(Muxsocks):
    """By the HTTP that its port speaks as well."""
    name = "muxsocks-http"
    title = "muxsocks by HTTP CONNECT"
    only_if_named = True
    way = "--http"
    udp = False
    unfit = {"correctness": "its check speaks SOCKS5"}

    def route(self, scene: Scene) -> list[str]:
        return [self.way, scene.socks, "--target", scene.target]


class MuxsocksForward(MuxsocksHttp):
    """The stream is the body of a plain request and of its answer."""
    name = "muxsocks-forward"
    title = "muxsocks, forwarded HTTP"
    way = "--forward"
    uploads = False


class MuxsocksPlain(Muxsocks):
    name = "muxsocks-plain"
    title = "muxsocks without TLS"
    tls = False


class MuxsocksV1(MuxsocksPlain):
    """Both halves know version 2, so a helper between them pretends that the other one does not;
    see downgrade.py. Version 1 has no authentication and no credit."""
    name = "muxsocks-v1"
    title = "muxsocks, version 1 framing"
    udp = False
    unfit = {"stalled": "version 1 has no credit: a stream that is not read stops the link",
             "delayed": "the helper in between stands where the long path begins"}

    def server_config(self, scene: Scene) -> dict:
        config = super().server_config(scene)
        del config["users"]
        return {**config, "open_server": True, "allow_v1": [f"{scene.near_address}/32"]}

    def client_config(self, scene: Scene) -> dict:
        config = super().client_config(scene)
        del config["auth"]
        helper = scene.start_helper("downgrade", [sys.executable, downgrade_program, scene.downgrade,
                                                  config["server"]])
        helper.wait_for_output("ready", 10)
        return {**config, "allow_v1": True, "server": scene.downgrade}
