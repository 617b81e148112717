"""The Docker engine as the tests see it: commands, images, containers, and Compose projects."""

import ipaddress
import itertools
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from support import deadline

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# Of the images that the tests build, whatever is checked out.
REVISION = "under-test"
LONG = os.environ.get("MUXSOCKS_LONG") == "1"


def run(arguments, timeout=60, check=True, text=None, both=False, **options):
    """Runs a command; its standard output without the last newline, with `both` standard error
    after it. A failure shows both outputs."""
    stdin = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
    ended = subprocess.run([str(each) for each in arguments], capture_output=True, text=True,
                           timeout=deadline.seconds(timeout), check=False, **stdin, **options)
    if check and ended.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))}: exit code {ended.returncode}\n"
                             f"{ended.stdout[-3000:]}\n{ended.stderr[-6000:]}")
    return (ended.stdout + (ended.stderr if both else "")).rstrip("\n")


def docker(*arguments, **options):
    return run(["docker", *arguments], **options)


def answers():
    return shutil.which("docker") is not None and subprocess.run(
        ["docker", "version"], capture_output=True, check=False).returncode == 0


def inspect(what, form):
    return docker("inspect", "--format", form, what)


def address(container, network):
    return inspect(container, f"{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}")


def free_subnets(count):
    """Subnets that no network of this engine overlaps, those of interrupted tests included."""
    taken = [ipaddress.ip_network(each) for each in docker(
        "network", "inspect", "--format", "{{range .IPAM.Config}}{{println .Subnet}}{{end}}",
        *docker("network", "ls", "-q").split()).split()]
    free = (ipaddress.ip_network(f"10.83.{number}.0/24") for number in range(85, 256))
    free = (str(subnet) for subnet in free
            if not any(subnet.version == each.version and subnet.overlaps(each) for each in taken))
    return list(itertools.islice(free, count))


def free_subnet():
    return free_subnets(1)[0]


def send(container, signal):
    """Sends a signal from inside: after `docker kill`, whatever the signal, Docker 20.10 takes a
    container that dies as one that its user has stopped, and does not restart it."""
    docker("exec", container, "sh", "-c", f"kill -{signal} 1")


def statistics(container):
    """A program's log, with the statistics that it writes on SIGUSR1."""
    send(container, "USR1")
    return logs(container)


def logs(container):
    ended = subprocess.run(["docker", "logs", container], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False)
    return ended.stdout


# Images


def make_base(suite):
    """The image debian:SUITE-slim, made from packages where it is missing."""
    name = f"debian:{suite}-slim"
    if run(["docker", "image", "ls", "-q", name]) == "":
        run([ROOT / "docker/make-base-images", suite], timeout=600)
    return name


def _build(name, folder, dockerfile, options, builder):
    """Builds an image; what its steps printed, which is nothing for those that were cached."""
    # BuildKit writes it to standard error.
    return docker("build", "-f", dockerfile, "-t", name, *options, folder, timeout=1200,
                  env={**os.environ, "DOCKER_BUILDKIT": builder, "BUILDKIT_PROGRESS": "plain"},
                  both=True)


def build(name, folder, dockerfile, *options, builder="0"):
    """Builds an image with the legacy builder, or with BuildKit (builder="1")."""
    _build(name, folder, dockerfile, options, builder)
    return name


def compiler_warnings(printed):
    """The compiler's and the linker's warnings; those of dpkg and its kind are not ours."""
    without_colours = re.sub(r"\x1b\[[\d;]*[mK]", "", printed)
    return re.findall(r"^.*(?::\d+|\b(?:cc1plus|g\+\+|c\+\+|ld|lto\S*)): warning: .*$",
                      without_colours, re.MULTILINE)


def has_buildkit():
    ended = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    return ended.returncode == 0


def build_programs(suite, builder="0"):
    """Both images on a suite, as {role: name}; the base image is made if need be. A suite's own
    compiler has to be content."""
    base = make_base(suite)
    images = {}
    for role in ("server", "client"):
        images[role] = f"muxsocks-{role}:test-{suite}-{builder}"
        printed = _build(images[role], ROOT, ROOT / "docker/Dockerfile",
                         ["--target", role, "--build-arg", f"BASE={base}", "--build-arg",
                          f"REVISION={REVISION}"], builder)
        assert compiler_warnings(printed) == []
    return images


# Compose


def compose_commands():
    """Every Compose in reach as {version: function that makes its command}: the host's
    docker-compose, and `docker compose` 2, from a container if the host has none. The function's
    arguments are folders and names of environment variables that Compose must see."""
    found = {}
    if shutil.which("docker-compose"):
        found["1"] = lambda *_: ["docker-compose"]
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        found["2"] = lambda *_: ["docker", "compose"]
    else:
        found["2"] = _contained_compose
    return found


def _contained_compose(folders, names):
    image = build("muxsocks-test-compose", HERE, HERE / "compose.Dockerfile", "--build-arg",
                  f"BASE={make_base('trixie')}")
    mounts = [f"--volume={folder}:{folder}" for folder in (ROOT, *folders)]
    names = [f"--env={name}" for name in names]
    return ["docker", "run", "--rm", "-i", "--network=none", "--volume",
            "/var/run/docker.sock:/var/run/docker.sock", *mounts, *names, f"--workdir={ROOT}", image]


class Project:
    """One Compose project, from its files (named from the root of the tree) to its removal."""

    _count = 0

    def __init__(self, version, files, settings, folders=()):
        Project._count += 1
        self.name = f"muxsockstest{os.getpid()}x{Project._count}"
        self.settings = {f"MUXSOCKS_{key}": str(value) for key, value in settings.items()}
        self.command = compose_commands()[version](folders, self.settings)
        for file in files:
            self.command += ["-f", str(ROOT / file)]
        self.command += ["-p", self.name]

    def __call__(self, *arguments, timeout=120, **options):
        return run([*self.command, *arguments], timeout=timeout,
                   env={**os.environ, **self.settings}, cwd=ROOT, **options)

    def remove(self):
        self("down", "--volumes", "--remove-orphans", "--timeout", "2", check=False)

    def container(self, service):
        return self("ps", "-a", "-q", service).split("\n")[0]

    def subnet(self, network):
        return inspect(f"{self.name}_{network}", "{{(index .IPAM.Config 0).Subnet}}")

    def config_volume(self):
        """The volume of /etc/muxsocks, of which each set-up has one of its own."""
        return inspect(self.container("init"), '{{range .Mounts}}{{if eq .Destination '
                                               '"/etc/muxsocks"}}{{.Name}}{{end}}{{end}}')

    def change_server(self, image, changes, services):
        """Lays changes over server.json in the volume, and has the servers reload it."""
        mounted = ["run", "--rm", "-i", "--entrypoint", "sh", "-v",
                   f"{self.config_volume()}:/etc/muxsocks", image, "-c"]
        settings = json.loads(docker(*mounted, "cat /etc/muxsocks/server.json"))
        docker(*mounted, "cat > /etc/muxsocks/server.json", text=json.dumps({**settings, **changes}))
        for service in services:
            container = self.container(service)
            before = logs(container).count("configuration reloaded")
            send(container, "HUP")
            deadline.wait_until(lambda: logs(container).count("configuration reloaded") > before, 10,
                                lambda: f"{service} to reload:\n{logs(container)[-2000:]}")


def health(container):
    return inspect(container, "{{.State.Health.Status}}")


def wait_for_health(container, wanted, timeout):
    """Waits until the container is "healthy" or "unhealthy"; the seconds that it took."""
    begun = time.monotonic()
    timeout = deadline.seconds(timeout)
    while health(container) != wanted:
        if time.monotonic() - begun > timeout:
            raise AssertionError(f"not {wanted} within {timeout} s: "
                                 f"{inspect(container, '{{json .State.Health}}')[-2000:]}\n"
                                 f"{logs(container)[-3000:]}")
        time.sleep(0.2)
    return time.monotonic() - begun
