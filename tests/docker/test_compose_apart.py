"""docker/compose.server.yml and docker/compose.client.yml: two projects that share nothing but the
share link, with both versions of Compose; and that both versions take every file."""

import ipaddress
import json
import os
import re
import subprocess

import engine
import pytest
from engine import docker, inspect, wait_for_health
from support import programs

BASE, SERVER, CLIENT, SCALE, SCALE_LIST = (
    f"docker/compose{name}.yml" for name in ("", ".server", ".client", ".scale", ".scale-list"))


def gateway():
    """This machine's address on the engine's default network, for want of a public one."""
    subnet = ipaddress.ip_network(inspect("bridge", "{{(index .IPAM.Config 0).Subnet}}"))
    return str(next(subnet.hosts()))


def test_a_server_here_and_a_client_there(project, tmp_path):
    port = programs.free_port()
    server = project("2", [BASE, SERVER], HOST=gateway(), SERVER_PORT=port)
    assert "muxsocks://" not in server("run", "--rm", "-T", "init"), "on a terminal only"
    added = server("run", "--rm", "-T", "init", "user", "add", "laptop", "-c",
                   "/etc/muxsocks/server.json")
    link = re.search(r"muxsocks://laptop:\S+", added).group()
    assert f"@{gateway()}:{port}?pin=" in link
    server("up", "-d")
    assert server.container("client") == ""
    file = tmp_path / "link"
    file.write_text(link + "\n")
    file.chmod(0o400)
    os.chown(file, 10001, 10001)
    client = project("1", [BASE, CLIENT], [tmp_path], LINK_FILE=file)
    client("up", "-d")
    assert client.container("server") == ""
    wait_for_health(client.container("client"), "healthy", 20)
    wait_for_health(server.container("server"), "healthy", 20)
    assert "muxsocks://" not in engine.logs(server.container("init"))
    listing = docker("exec", client.container("client"), "ls", "/etc/muxsocks")
    assert listing.split() == ["client.json"]


def test_a_server_of_ones_own_after_the_local_set_up(project):
    """As a reader of the README comes to it, from top to bottom, in one clone."""
    local = project("1", [BASE])
    local("up", "-d")
    local("down")
    server = project("1", [BASE, SERVER], HOST=gateway(), SERVER_PORT=programs.free_port())
    server.command[server.command.index("-p") + 1] = server.name = local.name
    assert "on a terminal" in server("run", "--rm", "-T", "init")
    server("up", "-d")
    wait_for_health(server.container("server"), "healthy", 20)
    server("down", "--volumes")
    assert docker("ps", "-a", "-q", "--filter", f"label=com.docker.compose.project={local.name}") == ""


def test_no_container_logs_a_share_link(project):
    """Neither at the first start nor at the next one."""
    local = project("1", [BASE])
    for _ in range(2):
        local("up", "-d")
        assert "muxsocks://" not in local("logs")
        token = json.loads(local("run", "--rm", "-T", "--entrypoint", "cat", "init",
                                 "/etc/muxsocks/client.json"))["auth"]["token"]
        assert token not in local("logs")


def test_an_engine_without_a_registry_is_told_what_to_do_before_anything_is_made():
    """By the README's first command: Compose would find out after it has made networks and volumes."""
    commands = re.findall(r"^    (scripts/images|docker compose \S+ \S+ up -d)\b",
                          (engine.ROOT / "README.md").read_text(), re.M)
    assert commands[0] == "scripts/images" and "compose.yml up -d" in commands[1]
    ended = subprocess.run([engine.ROOT / "scripts/images", "--base", "debian:nosuch-slim"],
                           capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "does not have debian:nosuch-slim and cannot get it" in ended.stderr
    assert ended.stderr.endswith("    sudo docker/make-base-images nosuch\n")


def test_the_images_that_scripts_images_builds(images):
    """With the label of this clone's revision."""
    name = "muxsocks-client:test-scripts-images"
    engine.run([engine.ROOT / "scripts/images", "--base", engine.make_base("trixie"), "client"],
               timeout=1200, env={**os.environ, "MUXSOCKS_CLIENT_IMAGE": name,
                                  "MUXSOCKS_REVISION": engine.REVISION, "DOCKER_BUILDKIT": "0"})
    assert inspect(name, "{{.Id}}") == inspect(images["client"], "{{.Id}}"), "the same, from the cache"
    docker("rmi", name)


def test_users_and_settings_change_without_a_restart(project):
    """The commands of docs/OPERATIONS.md."""
    server = project("1", [BASE, SERVER], HOST=gateway(), SERVER_PORT=programs.free_port())
    server("up", "-d")
    container = server.container("server")
    added = server("run", "--rm", "-T", "init", "user", "add", "phone", "-c", "/etc/muxsocks/server.json")
    assert len(added.split("\n")[-1].strip()) >= 22, added
    settings = server("run", "--rm", "-T", "--entrypoint", "cat", "init",
                      "/etc/muxsocks/server.json")
    assert '"phone"' in settings
    server("run", "--rm", "-T", "--entrypoint", "sh", "init", "-c",
           "cat > /etc/muxsocks/server.json", text=settings.replace('"phone"', '"tablet"'))
    server("exec", "-T", "server", "sh", "-c", "kill -HUP 1")
    assert '"tablet"' in docker("exec", container, "cat", "/etc/muxsocks/server.json")
    wait_for_health(container, "healthy", 20)
    assert "configuration reloaded" in engine.logs(container)


@pytest.mark.parametrize("files", [[BASE], [BASE, SERVER], [BASE, CLIENT], [SCALE],
                                   [SCALE, SCALE_LIST]], ids=lambda files: files[-1][7:-4])
@pytest.mark.parametrize("version", ["1", "2"])
def test_compose_takes_the_file(version, files):
    if version not in engine.compose_commands():
        pytest.skip(f"no Compose {version} here")
    one = engine.Project(version, files, {"HOST": "server.example.org"})
    config = one("config")
    assert "image: muxsocks-server" in config
    assert "REVISION: unknown" in config


# Compose 2 asks the engine's BuildKit, which shares no layers with the builder of the other tests.
@pytest.mark.parametrize("version", ["1"] + ["2"] * engine.LONG)
def test_the_first_up_builds_the_images(project, version):
    """As in a fresh clone: there are none, and the Compose file says what they are made of."""
    images = {role: f"muxsocks-{role}:test-compose-{version}" for role in ("server", "client")}
    for image in images.values():
        docker("rmi", "-f", image, check=False)
    up = project(version, [BASE], SERVER_IMAGE=images["server"], CLIENT_IMAGE=images["client"],
                 REVISION=engine.REVISION)
    up("up", "-d", timeout=1200)
    for role, image in images.items():
        assert inspect(up.container(role), "{{.Config.Image}}") == image
        wait_for_health(up.container(role), "healthy", 20)


@pytest.mark.parametrize("version", ["1", "2"])
def test_each_set_up_has_a_volume_of_its_own(version):
    """Whoever tries one after the other does not find the configuration of another one."""
    if version not in engine.compose_commands():
        pytest.skip(f"no Compose {version} here")

    def volumes(*files):
        config = engine.Project(version, files, {"HOST": "server.example.org"})("config")
        return set(re.findall(r"source: ([\w-]*config)$|([\w-]*config):/etc/muxsocks", config, re.M))

    found = [volumes(*files) for files in ([BASE], [BASE, SERVER], [BASE, CLIENT], [SCALE], [SCALE, SCALE_LIST])]
    # The parts of an overlay that is not started keep that of the file below it.
    assert len({tuple(sorted(each)) for each in found}) == len(found), found
