"""trojan: a TLS connection for each of the user's."""

import json

from ..keys import SERVER_NAME
from ..scenes import Scene
from .base import Peer, Running

CIPHER = "TLS_AES_128_GCM_SHA256"
LOG_WARNINGS = 2


class Trojan(Peer):
    name = "trojan"
    title = "trojan"
    programs = {"trojan": "trojan"}
    udp = True

    def start(self, scene: Scene) -> Running:
        trojan, environment = self.program(scene, "trojan")
        keys = scene.tools.keys
        tcp = {"no_delay": True, "keep_alive": True, "reuse_port": False, "fast_open": False,
               "fast_open_qlen": 20, "prefer_ipv4": True}
        address, port = scene.server.rsplit(":", 1)
        far = {
            "run_type": "server", "local_addr": address, "local_port": int(port),
            "remote_addr": scene.far_address, "remote_port": 80, "password": [keys.password],
            "log_level": LOG_WARNINGS, "tcp": tcp,
            "ssl": {"cert": str(keys.certificate), "key": str(keys.key), "key_password": "",
                    "cipher": "", "cipher_tls13": CIPHER, "prefer_server_cipher": True,
                    "alpn": ["http/1.1"], "alpn_port_override": {}, "reuse_session": True,
                    "session_ticket": False, "session_timeout": 600, "plain_http_response": "",
                    "curves": "", "dhparam": ""},
            "mysql": {"enabled": False},
        }
        address, port = scene.socks.rsplit(":", 1)
        link, link_port = scene.way_to(scene.server).rsplit(":", 1)
        near = {
            "run_type": "client", "local_addr": address, "local_port": int(port),
            "remote_addr": link, "remote_port": int(link_port), "password": [keys.password],
            "log_level": LOG_WARNINGS, "tcp": tcp,
            "ssl": {"verify": True, "verify_hostname": True, "cert": str(keys.ca), "cipher": "",
                    "cipher_tls13": CIPHER, "sni": SERVER_NAME, "alpn": ["http/1.1"],
                    "reuse_session": True, "session_ticket": False, "curves": ""},
        }
        running = []
        for start, role, config in ((scene.start_far, "server", far),
                                    (scene.start_near, "client", near)):
            file = scene.tools.folder / f"trojan-{role}.json"
            file.write_text(json.dumps(config))
            running.append(start(f"trojan-{role}", [*trojan, "-c", str(file)],
                                 environment=environment))
        server, client = running
        return Running(self.route(scene), client, server)
