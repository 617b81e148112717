"""The .deb packages in containers of Debian, with systemd as the first process where that is wanted."""

import contextlib
import os
import time
import uuid
from pathlib import Path

import pytest

from engine import ROOT, docker, make_base, run

# What systemd needs to be the first process of a container; the rights that it has on a machine.
AS_INIT = ["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined",
           "--security-opt=apparmor=unconfined", "--volume=/run", "--tmpfs=/tmp",
           "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"]


class Container:
    """A container of an image that waits for commands, or runs `command` beside them."""

    def __init__(self, image, options=("--init",), command=("sleep", "infinity")):
        self.name = f"muxsocks-packages-{uuid.uuid4().hex[:12]}"
        docker("run", "--detach", "--name", self.name, *options, image, *command, timeout=600)

    def __call__(self, command, timeout=300):
        return docker("exec", "--env", "DEBIAN_FRONTEND=noninteractive", self.name, "sh", "-ec",
                      command, timeout=timeout)

    def copy_in(self, source, to):
        docker("cp", source, f"{self.name}:{to}")

    def remove(self):
        docker("rm", "--force", self.name)


def build(folder):
    """Both packages, from the source archive, in a container of Debian 12; checked by lintian. Or the
    folder with them that MUXSOCKS_PACKAGES names, as scripts/package has made it on Debian 12."""
    if os.environ.get("MUXSOCKS_PACKAGES"):
        return Path(os.environ["MUXSOCKS_PACKAGES"]).resolve()
    run(["cmake", "--preset", "package", "-B", folder / "build"], cwd=ROOT, timeout=120)
    run(["cpack", "--config", folder / "build/CPackSourceConfig.cmake", "-B", folder], timeout=120)
    made = folder / "packages"
    made.mkdir()
    builder = Container(make_base("bookworm"))
    try:
        builder.copy_in(next(folder.glob("muxsocks-*.tar.xz")), "/tmp/source.tar.xz")
        builder("apt-get update && apt-get install -y --no-install-recommends xz-utils")
        builder("mkdir /source && tar -C /source --strip-components=1 -xf /tmp/source.tar.xz")
        builder("cd /source && scripts/package", timeout=900)
        builder("apt-get install -y --no-install-recommends lintian", timeout=300)
        builder("lintian --fail-on error,warning /source/build/package/*.deb")
        for name in builder("cd /source/build/package; ls *.deb").split():
            docker("cp", f"{builder.name}:/source/build/package/{name}", made)
    finally:
        builder.remove()
    return made


def install(container, folder, *others):
    container("mkdir /packages")
    for package in folder.glob("*.deb"):
        container.copy_in(package, "/packages/")
    container("apt-get update")
    container(f"apt-get install -y --no-install-recommends /packages/*.deb {' '.join(others)}")


@contextlib.contextmanager
def machine_of(container):
    """A container of the same files with systemd as its first process."""
    image = f"{container.name}:systemd"
    docker("commit", container.name, image)
    made = None
    try:
        made = Container(image, AS_INIT, ["/lib/systemd/systemd"])
        for _ in range(100):
            state = made("systemctl is-system-running || true")
            if state in ("running", "degraded"):
                break
            time.sleep(0.2)
        else:
            pytest.skip(f"systemd does not start in a container here: {state}")
        # As on a machine: without the one no service gets its credentials, with the other packages
        # neither start nor stop any.
        made("mount --make-rshared /; rm -f /usr/sbin/policy-rc.d")
        yield made
    finally:
        if made:
            made.remove()
        docker("rmi", "--force", image)
