"""V2Ray: VLESS over TLS with its multiplexer (mux.cool) at its default of eight streams a link."""

import json
import subprocess
import uuid

from ..keys import SERVER_NAME
from ..scenes import Scene
from .base import Peer, Running


class V2ray(Peer):
    name = "v2ray"
    title = "V2Ray with mux"
    programs = {"v2ray": "v2ray"}

    def start(self, scene: Scene) -> Running:
        v2ray, environment = self.program(scene, "v2ray")
        user = str(uuid.uuid4())
        keys = scene.tools.keys
        tls = {"network": "tcp", "security": "tls"}
        address, port = scene.server.rsplit(":", 1)
        far = {
            "log": {"loglevel": "warning"},
            "inbounds": [{
                "listen": address, "port": int(port), "protocol": "vless",
                "settings": {"clients": [{"id": user}], "decryption": "none"},
                "streamSettings": {**tls, "tlsSettings": {"certificates": [
                    {"certificateFile": str(keys.certificate), "keyFile": str(keys.key)}]}},
            }],
            "outbounds": [{"protocol": "freedom"}],
        }
        address, port = scene.socks.rsplit(":", 1)
        link, link_port = scene.way_to(scene.server).rsplit(":", 1)
        near = {
            "log": {"loglevel": "warning"},
            "inbounds": [{"listen": address, "port": int(port), "protocol": "socks",
                          "settings": {"auth": "noauth", "udp": False}}],
            "outbounds": [{
                "protocol": "vless",
                "settings": {"vnext": [{"address": link, "port": int(link_port),
                                        "users": [{"id": user, "encryption": "none"}]}]},
                "streamSettings": {**tls, "tlsSettings": {
                    "serverName": SERVER_NAME, "disableSystemRoot": True, "certificates": [
                        {"usage": "verify", "certificateFile": str(keys.ca)}]}},
                "mux": {"enabled": True},
            }],
        }
        how = ["run"] if self._has_run(v2ray, environment) else []
        running = []
        for start, role, config in ((scene.start_far, "server", far),
                                    (scene.start_near, "client", near)):
            file = scene.tools.folder / f"v2ray-{role}.json"
            file.write_text(json.dumps(config))
            running.append(start(f"v2ray-{role}", [*v2ray, *how, "-config", str(file)],
                                 environment=environment))
        server, client = running
        return Running(self.route(scene), client, server)

    @staticmethod
    def _has_run(v2ray: list[str], environment: dict[str, str]) -> bool:
        """Whether the command is `v2ray run` (version 5) rather than `v2ray` (version 4)."""
        done = subprocess.run([*v2ray, "version"], capture_output=True, text=True, check=False,
                              env={"PATH": "/usr/bin", **environment}, timeout=10)
        return "V2Ray 5" in done.stdout
