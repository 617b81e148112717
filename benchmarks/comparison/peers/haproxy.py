"""A TLS two-hop relay without multiplexing: one TLS connection for each of the user's."""

import resource

from ..keys import SERVER_NAME
from ..scenes import Scene
from .base import Peer, Running

COMMON = """
global
    maxconn {connections}
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-server-options ssl-min-ver TLSv1.3
    ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
defaults
    mode tcp
    maxconn {connections}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
"""


class HaproxyPair(Peer):
    name = "haproxy"
    title = "TLS two-hop relay (HAProxy)"
    programs = {"haproxy": "haproxy"}
    socks = False

    def start(self, scene: Scene) -> Running:
        haproxy, environment = self.program(scene, "haproxy")
        keys = scene.tools.keys
        folder = scene.tools.folder
        # It refuses to start when two descriptors a connection are more than the limit.
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        common = COMMON.format(connections=min(24000, (descriptors - 200) // 2))
        far = folder / "haproxy-server.cfg"
        far.write_text(f"""{common}
listen far
    bind {scene.server} ssl crt {keys.certificate_with_key}
    server target {scene.target}
""")
        near = folder / "haproxy-client.cfg"
        near.write_text(f"""{common}
listen near
    bind {scene.socks}
    server far {scene.way_to(scene.server)} ssl verify required ca-file {keys.ca} \
verifyhost {SERVER_NAME} sni str({SERVER_NAME})
""")
        server = scene.start_far("haproxy-server", [*haproxy, "-db", "-f", str(far)],
                                 environment=environment)
        client = scene.start_near("haproxy-client", [*haproxy, "-db", "-f", str(near)],
                                  environment=environment)
        return Running(self.route(scene), client, server)
