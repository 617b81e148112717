"""dante: one hop, no encryption, processes that share the clients."""

from ..scenes import Scene
from .base import OneHop, Running

CONFIGURATION = """\
logoutput: stderr
internal: {address} port = {port}
external: {external}
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""


class Dante(OneHop):
    name = "dante"
    title = "dante (one hop, no TLS)"
    programs = {"danted": "dante-server"}
    udp = True
    only_if_named = True

    def start(self, scene: Scene) -> Running:
        danted, environment = self.program(scene, "danted")
        address, port = self.listen(scene).rsplit(":", 1)
        file = scene.tools.folder / "danted.conf"
        file.write_text(CONFIGURATION.format(address=address, port=port, external=scene.near_address))
        server = scene.start_near("danted", [*danted, "-f", str(file)], environment=environment)
        return Running(self.route(scene), None, server)
