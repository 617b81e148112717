"""ssh -D with an sshd of our own and throw-away keys: the multiplexing proxy everyone has."""

import os
import pwd

from ..namespaces import Namespace, allow_sshd
from ..scenes import Scene
from .base import Peer, Running

CIPHER = "aes128-gcm@openssh.com"


class Ssh(Peer):
    name = "ssh"
    title = "ssh -D"
    programs = {"sshd": "openssh-server", "ssh": "openssh-client",
                "ssh-keygen": "openssh-client"}

    def start(self, scene: Scene) -> Running:
        keys = scene.tools.keys
        (keygen,), environment = self.program(scene, "ssh-keygen")
        keys.make_ssh_keys(keygen, environment)
        folder = keys.folder
        if os.geteuid() == 0 and isinstance(scene.far, Namespace):
            allow_sshd(scene.far, folder)
        (folder / "authorized_keys").write_text((folder / "ssh_user.pub").read_text())
        host_key = " ".join((folder / "ssh_host.pub").read_text().split()[:2])
        (folder / "known_hosts").write_text(f"bench {host_key}\n")
        sshd, environment = self.program(scene, "sshd")
        server = scene.start_far(
            "sshd", [*sshd, "-D", "-e", "-f", str(self._config(scene))], environment=environment)
        server.wait_for_output("listening", 10)
        ssh, environment = self.program(scene, "ssh")
        link, port = scene.way_to(scene.server).rsplit(":", 1)
        client = scene.start_near("ssh", [
            *ssh, "-F", "none", "-N", "-D", scene.socks, "-p", port,
            "-i", str(folder / "ssh_user"), "-o", f"UserKnownHostsFile={folder / 'known_hosts'}",
            "-o", "HostKeyAlias=bench", "-o", "StrictHostKeyChecking=yes",
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", f"Ciphers={CIPHER}",
            "-o", "ExitOnForwardFailure=yes", f"{self._user()}@{link}"], environment=environment)
        return Running(self.route(scene), client, server)

    @staticmethod
    def _user() -> str:
        return pwd.getpwuid(os.geteuid()).pw_name

    def _config(self, scene: Scene):
        folder = scene.tools.keys.folder
        address, port = scene.server.rsplit(":", 1)
        lines = [f"ListenAddress {address}", f"Port {port}", f"HostKey {folder / 'ssh_host'}",
                 f"AuthorizedKeysFile {folder / 'authorized_keys'}", f"Ciphers {CIPHER}",
                 "StrictModes no", "PidFile none", "PasswordAuthentication no",
                 "KbdInteractiveAuthentication no", "UsePAM no", "PermitRootLogin yes",
                 "LogLevel INFO", "UseDNS no"]
        # Newer versions split sshd up and look for the parts at fixed places.
        for option, path in (("SshdSessionPath", "/usr/lib/openssh/sshd-session"),
                             ("SshdAuthPath", "/usr/lib/openssh/sshd-auth")):
            part = scene.tools.packages.path_inside(path)
            if part.exists():
                lines.append(f"{option} {part}")
        config = folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        return config
