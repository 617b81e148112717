"""What the images are made of."""

import json
import re
import subprocess

import engine
import pytest
from support import hardening

ROLES = ["server", "client"]
MEGABYTE = 1_000_000
VERSION = re.search(r"project\(muxsocks VERSION (\S+)",
                    (engine.ROOT / "CMakeLists.txt").read_text()).group(1)


# On Debian 12, and with the builder that newer engines have: the same, only longer.
@pytest.fixture(scope="module", params=["trixie 0"] + ["bookworm 0", "trixie 1"] * engine.LONG)
def built(request):
    suite, builder = request.param.split()
    if builder == "1" and not engine.has_buildkit():
        pytest.skip("no BuildKit here: docker buildx is missing")
    return engine.make_base(suite), engine.build_programs(suite, builder)


def in_image(image, *command):
    return subprocess.run(["docker", "run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL",
                           "--entrypoint", command[0], image, *command[1:]], capture_output=True,
                          text=True, check=False)


def size(image):
    return int(engine.inspect(image, "{{.Size}}"))


@pytest.mark.parametrize("role", ROLES)
def test_an_image_is_small(built, role):
    base, images = built
    added = size(images[role]) - size(base)
    print(f"{images[role]}: {added / MEGABYTE:.1f} MB above {base}")
    assert 0 < added <= 30 * MEGABYTE


@pytest.mark.parametrize("role", ROLES)
def test_an_image_holds_its_program_and_no_tools(built, role):
    image = built[1][role]
    ended = in_image(image, f"muxsocks-{role}", "--version")
    assert ended.returncode == 0 and VERSION in ended.stdout, ended
    other = next(each for each in ROLES if each != role)
    for tool in ("gcc", "g++", "cc", "ld", "cmake", "ninja", f"muxsocks-{other}"):
        assert in_image(image, "sh", "-c", f"command -v {tool}").returncode != 0, tool


@pytest.mark.parametrize("role", ROLES)
def test_an_images_program_is_hardened(built, role, tmp_path):
    program = tmp_path / role
    with open(program, "wb") as file:
        subprocess.run(["docker", "run", "--rm", "--network=none", "--entrypoint", "cat", built[1][role],
                        f"/usr/bin/muxsocks-{role}"], stdout=file, check=True)
    assert list(hardening.faults(program, control_flow=False)) == []


@pytest.mark.parametrize("role", ROLES)
def test_an_image_runs_as_nobody_in_particular(built, role):
    image = built[1][role]
    assert engine.inspect(image, "{{.Config.User}}") == "10001:10001"
    ended = in_image(image, "sh", "-c", "id -u; stat -c '%U %a' /etc/muxsocks")
    assert ended.stdout.split("\n")[:2] == ["10001", "muxsocks 750"]


@pytest.mark.parametrize("role", ROLES)
def test_an_image_says_what_it_is(built, role):
    base, images = built
    config = json.loads(engine.inspect(images[role], "{{json .Config}}"))
    labels = {key.removeprefix("org.opencontainers.image."): value
              for key, value in config["Labels"].items()}
    assert labels["title"] == f"muxsocks-{role}"
    assert labels["version"] == VERSION
    assert labels["licenses"] == "MIT"
    assert labels["base.name"] == base
    assert labels["description"] and labels["revision"] == engine.REVISION
    assert config["Healthcheck"]["Test"] == ["CMD", f"muxsocks-{role}", "health"]
    assert f"{8443 if role == 'server' else 1080}/tcp" in config["ExposedPorts"]
