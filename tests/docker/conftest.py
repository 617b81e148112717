"""Fixtures of the tests with containers. They need a Docker engine and, the first time, root and a
package mirror for the base image; what they leave behind are images."""

import os
import sys
from types import SimpleNamespace

import pytest

sys.path[:0] = [os.path.dirname(__file__), os.path.join(os.path.dirname(__file__), "../system")]

import engine  # noqa: E402
import packaged  # noqa: E402
from support import programs, web  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def docker_engine():
    if not engine.answers():
        pytest.skip("skipped: no Docker engine")


@pytest.fixture(scope="session")
def images(docker_engine):
    """The images on Debian 13, as {role: name}."""
    return engine.build_programs("trixie")


@pytest.fixture(scope="session")
def packages(docker_engine, tmp_path_factory):
    """The folder with both .deb packages."""
    return packaged.build(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """What the target serves: files with `name` and `digest`, in `folder`."""
    folder = tmp_path_factory.mktemp("files")

    def make(name, size):
        return SimpleNamespace(name=name, digest=web.random_file(folder / name, size))

    made = SimpleNamespace(folder=folder, page=make("page", 10_000), large=make("large", 2 << 20),
                           middle=make("middle", 1 << 20))
    folder.chmod(0o755)
    return made


@pytest.fixture(scope="module")
def project(images, files):
    """Makes Compose projects: `project(version, files, **settings)`. They are removed at the end."""
    made = []

    def make(version, compose_files, folders=(), **settings):
        if version not in engine.compose_commands():
            pytest.skip(f"no Compose {version} here")
        settings = {"BASE": engine.make_base("trixie"), "SERVER_IMAGE": images["server"],
                    "CLIENT_IMAGE": images["client"], "PORT": programs.free_port(),
                    "TEST_SITE": engine.HERE / "site", "TEST_FILES": files.folder, **settings}
        made.append(engine.Project(version, compose_files, settings, [files.folder, *folders]))
        return made[-1]

    yield make
    for each in made:
        each.remove()
