"""Network namespaces of their own for the measured programs.

A namespace here is held by one sleeping process and ends with it; nothing is registered under a
name, so nothing is left behind even when the comparison is killed. Each also has a mount namespace,
in which sshd finds the account and the folder that it insists on.

Only util-linux (unshare, nsenter) and iproute2 (ip, tc) are needed, and root.
"""

import os
import signal
import subprocess
from pathlib import Path

SYSCTLS = {
    # Thousands of short connections a second: all ports, and again soon after they were closed.
    "net.ipv4.ip_local_port_range": "12000 65000",
    "net.ipv4.tcp_tw_reuse": "1",
    # Connections within one namespace are not to learn from the ones before.
    "net.ipv4.tcp_no_metrics_save": "1",
}


class NamespaceError(Exception):
    """A namespace could not be made; the text tells the user why."""


class Namespace:
    """One network namespace with its loopback up; `prefix` runs a command inside."""

    def __init__(self, congestion: str):
        command = ["unshare", "--net", "--mount", "--propagation", "private",
                   "sh", "-c", "echo ready; exec sleep infinity"]
        self.holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True, start_new_session=True)
        if self.holder.stdout.readline().strip() != "ready":
            error = self.holder.stderr.read().strip()
            self.close()
            raise NamespaceError(f"no network namespace could be made ({error}); "
                                 "run as root, or with --no-namespaces")
        self.prefix = ["nsenter", "--target", str(self.holder.pid), "--net", "--mount",
                       "--root", "--wd", "--"]
        self.run("ip", "link", "set", "lo", "up")
        for name, value in SYSCTLS.items():
            self.set(name, value)
        try:
            self._set_congestion(congestion)
        except NamespaceError:
            self.close()
            raise

    def _set_congestion(self, name: str) -> None:
        if not self.set("net.ipv4.tcp_congestion_control", name):
            raise NamespaceError(
                f"congestion control {name} cannot be set in a namespace "
                "(net.ipv4.tcp_allowed_congestion_control lists what can)")

    def set(self, name: str, value: str) -> bool:
        """Sets a sysctl if it may be, without the program of that name, which small systems lack."""
        path = "/proc/sys/" + name.replace(".", "/")
        return self.try_run("sh", "-c", f"echo '{value}' > {path}").returncode == 0

    def run(self, *command: str) -> subprocess.CompletedProcess:
        done = self.try_run(*command)
        if done.returncode != 0:
            raise NamespaceError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done

    def try_run(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run([*self.prefix, *command], capture_output=True, text=True, check=False)

    def close(self) -> None:
        if self.holder.poll() is None:
            os.killpg(self.holder.pid, signal.SIGKILL)
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()


def namespaces_work(congestion: str) -> str:
    """Empty if namespaces can be made here, otherwise why not."""
    try:
        Namespace(congestion).close()
    except (NamespaceError, OSError) as error:
        return str(error)
    return ""


class HostNetwork:
    """Stands in for a namespace where none can be made: the machine's own loopback, which is left
    as it is."""

    prefix: list[str] = []

    def close(self) -> None:
        pass


NEAR_ADDRESS = "10.99.0.1"
FAR_ADDRESS = "10.99.0.2"


def join_with_veth(near: Namespace, far: Namespace, queue: list[str]) -> None:
    """Connects two namespaces by a veth pair with the same queueing discipline at both ends."""
    near.run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far",
             "netns", str(far.holder.pid))
    for space, device, address in ((near, "near", NEAR_ADDRESS), (far, "far", FAR_ADDRESS)):
        space.run("ip", "address", "add", f"{address}/24", "dev", device)
        space.run("ip", "link", "set", device, "up")
        space.run("tc", "qdisc", "add", "dev", device, "root", *queue)


def allow_sshd(space: Namespace, folder: Path) -> None:
    """Gives sshd the account "sshd" and /run/sshd, inside this namespace only.

    The copies of the account files hold only root and sshd, without passwords.
    """
    passwd = folder / "passwd"
    passwd.write_text("root:x:0:0:root:/root:/bin/sh\n"
                      "sshd:x:74:65534::/run/sshd:/usr/sbin/nologin\n"
                      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")
    shadow = folder / "shadow"
    shadow.write_text("root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n")
    shadow.chmod(0o600)
    space.run("mount", "--bind", str(passwd), "/etc/passwd")
    space.run("mount", "--bind", str(shadow), "/etc/shadow")
    space.run("mount", "-t", "tmpfs", "tmpfs", "/run")
    space.run("mkdir", "-m", "0755", "/run/sshd")
