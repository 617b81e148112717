"""What is installed beside the programs agrees with them: manual pages, completions, units."""

import gzip
import re
import shutil
import subprocess

import pytest

from support import programs
from support.deadline import seconds

ROLES = ["client", "server"]
SUBCOMMANDS = {"client": ["import", "doctor", "health"], "server": ["init", "user", "health"]}
PACKAGING = programs.ROOT / "packaging"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """`cmake --install` of the build into a folder of the tests' own."""
    folder = tmp_path_factory.mktemp("installed")
    build = programs.build_folder()
    if not (build / "cmake_install.cmake").exists():
        pytest.skip("this build was not made by CMake")
    ended = programs.run(["cmake", "--install", build, "--prefix", folder, "--component", "client"])
    assert ended.returncode == 0, ended.stderr
    ended = programs.run(["cmake", "--install", build, "--prefix", folder, "--component", "server"])
    assert ended.returncode == 0, ended.stderr
    return folder


def options_of(role):
    """Every long option of the program and its subcommands, from their own help."""
    found = set()
    for words in ([], *([word] for word in SUBCOMMANDS[role])):
        ended = programs.run([programs.binary(f"muxsocks-{role}"), *words, "--help"])
        assert ended.returncode == 0, ended.stderr
        found |= set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", ended.stdout))
    return found


def completions(role):
    folder = PACKAGING / "completions"
    return {"bash": folder / f"muxsocks-{role}.bash", "zsh": folder / f"_muxsocks-{role}",
            "fish": folder / f"muxsocks-{role}.fish"}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_have_every_option_and_no_other(role, shell):
    text = completions(role)[shell].read_text()
    pattern = r"(?<!set) -l ([a-z][a-z-]+)" if shell == "fish" else r"(?<![\w-])--([a-z][a-z-]+)"
    assert set(re.findall(pattern, text)) == options_of(role) | {"help"}
    for word in SUBCOMMANDS[role]:
        assert re.search(rf"\b{word}\b", text)


@pytest.mark.parametrize("role", ROLES)
def test_the_manual_page_has_every_option_and_no_other(role, installed):
    with gzip.open(installed / f"share/man/man1/muxsocks-{role}.1.gz", "rt") as file:
        text = file.read().replace("\\-", "-")
    assert set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text)) == options_of(role) | {"help"}
    for word in SUBCOMMANDS[role]:
        assert f"\n.B {word}\n" in text
    assert not re.search(r"@\w+@", text)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_without_fault_to_the_shell(role, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    ended = programs.run([shell, "-n", completions(role)[shell]])
    assert (ended.returncode, ended.stderr) == (0, "")


def complete(role, *words):
    """What bash offers for the last of the words."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; '
              f'_muxsocks_{role}; printf "%s\\n" "${{COMPREPLY[@]}}"')
    ended = programs.run(["bash", "-c", script, "bash", completions(role)["bash"],
                          f"muxsocks-{role}", *words], cwd="/")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_bash_offers_what_fits():
    assert complete("server", "in") == ["init"]
    assert complete("server", "init", "--ho") == ["--host"]
    assert complete("server", "user", "re") == ["remove"]
    assert complete("server", "--ho") == []
    assert complete("client", "doctor", "--ta") == ["--target"]
    assert complete("client", "-l", "war") == ["warning"]
    assert "etc" in complete("client", "-c", "et")


def test_what_is_installed_is_complete(installed):
    units = "lib/systemd/system"
    for name in (f"{units}/muxsocks-server.service", f"{units}/muxsocks-client.service",
                 f"{units}/muxsocks-client@.service", "lib/systemd/user/muxsocks-client.service",
                 "lib/sysusers.d/muxsocks-server.conf", "share/doc/muxsocks-server/OPERATIONS.md",
                 "share/doc/muxsocks-client/examples/client.json"):
        assert not re.search(r"@[A-Z_]+@", (installed / name).read_text()), name
    for role in ROLES:
        ended = programs.run([installed / f"bin/muxsocks-{role}", "--version"])
        assert ended.returncode == 0


@pytest.mark.parametrize("unit", ["muxsocks-server.service", "muxsocks-client.service",
                                  "muxsocks-client@.service"])
def test_the_sandbox_leaves_little_exposed(unit, installed):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    ended = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=yes",
                            "--threshold=20", installed / "lib/systemd/system" / unit],
                           capture_output=True, text=True, timeout=seconds(20))
    assert ended.returncode == 0, ended.stdout + ended.stderr
