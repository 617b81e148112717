"""What is installed beside the programs agrees with them: manual pages, completions, units."""

import gzip
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from support import hardening, programs
from support.deadline import seconds

ROLES = ["client", "server"]
SUBCOMMANDS = {"client": ["import", "doctor", "health", "env", "status", "streams"],
               "server": ["init", "user", "health", "status", "users", "streams", "kick"]}
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


@pytest.mark.once
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


@pytest.mark.once
def test_bash_offers_what_fits():
    assert complete("server", "in") == ["init"]
    assert complete("server", "init", "--ho") == ["--host"]
    assert complete("server", "user", "re") == ["remove"]
    assert complete("server", "--ho") == []
    assert complete("client", "doctor", "--ta") == ["--target"]
    assert complete("client", "-l", "war") == ["warning"]
    assert "etc" in complete("client", "-c", "et")


@pytest.mark.once
def test_what_is_installed_is_complete(installed):
    units = "lib/systemd/system"
    for name in (f"{units}/muxsocks-server.service", f"{units}/muxsocks-client.service",
                 f"{units}/muxsocks-client@.service", "lib/systemd/user/muxsocks-client.service",
                 f"{units}/muxsocks-server.socket", f"{units}/muxsocks-client.socket",
                 "lib/systemd/user/muxsocks-client.socket",
                 "lib/sysctl.d/20-muxsocks-client.conf", "lib/sysctl.d/20-muxsocks-server.conf",
                 "lib/modules-load.d/muxsocks-client.conf", "lib/modules-load.d/muxsocks-server.conf",
                 "lib/sysusers.d/muxsocks-server.conf", "share/doc/muxsocks-server/OPERATIONS.md",
                 "share/doc/muxsocks-client/examples/client.json",
                 "share/doc/muxsocks-client/examples/tunnel/muxsocks-tunnel-routes",
                 "share/doc/muxsocks-client/examples/tunnel/muxsocks-tunnel.service",
                 "share/doc/muxsocks-client/examples/tunnel/hev-socks5-tunnel.yml"):
        assert not re.search(r"@[A-Z_]+@", (installed / name).read_text()), name
    for role in ROLES:
        ended = programs.run([installed / f"bin/muxsocks-{role}", "--version"])
        assert ended.returncode == 0


@pytest.mark.once
@pytest.mark.parametrize("unit,name,ports", [
    ("muxsocks-client.socket", "proxy", ["127.0.0.1:1080", "[::1]:1080"]), ("muxsocks-server.socket", "links", ["8443"]),
    ("user/muxsocks-client.socket", "proxy", ["127.0.0.1:1080", "[::1]:1080"])])
def test_socket_units_are_as_documented(unit, name, ports):
    """Their names are what the documents have in `listen`, their ports those of the programs' defaults."""
    text = (PACKAGING / "systemd" / unit).read_text()
    assert re.findall(r"^FileDescriptorName=(.*)$", text, re.M) == [name]
    assert re.findall(r"^ListenStream=(.*)$", text, re.M) == ports
    assert f'"listen": "systemd:{name}"' in text
    assert f'"listen": "systemd:{name}"' in (programs.ROOT / "docs/OPERATIONS.md").read_text()


@pytest.mark.once
def test_what_is_installed_names_its_own_prefix(tmp_path):
    """Which may be another one than that of the configuration, and have a space in it."""
    build = programs.build_folder()
    if not (build / "cmake_install.cmake").exists():
        pytest.skip("this build was not made by CMake")
    prefix = tmp_path / "a place"
    ended = programs.run(["cmake", "--install", build, "--prefix", prefix])
    assert ended.returncode == 0, ended.stderr
    escaped = str(prefix).replace(" ", "\\x20")
    units = list(prefix.glob("lib/systemd/*/*.service"))
    assert len(units) == 4
    for unit in units:
        started, = re.findall(r"^ExecStart=(\S+)", unit.read_text(), re.M)
        role = unit.name.partition(".")[0].partition("@")[0]
        assert started == f"{escaped}/bin/{role}"
        for path in re.findall(r"^Exec\w+=(/\S*muxsocks\S*)|file:(\S+)", unit.read_text(), re.M):
            assert "".join(path).startswith(escaped + "/")
    if shutil.which("systemd-analyze"):
        ended = programs.run(["systemd-analyze", "verify", "--man=no",
                              *(unit for unit in units if unit.parent.name == "system"),
                              *prefix.glob("lib/systemd/system/*.socket")])
        assert "muxsocks" not in ended.stderr
    for role in ROLES:
        with gzip.open(prefix / f"share/man/man1/muxsocks-{role}.1.gz", "rt") as file:
            assert f"{prefix}/share/doc/muxsocks-{role}" in file.read().replace("\\-", "-")
    # Staged for a package: the path is that of the machine where it is unpacked.
    ended = programs.run(["cmake", "--install", build, "--prefix", "/usr", "--component", "server"],
                         env={**os.environ, "DESTDIR": str(tmp_path / "staged")})
    assert ended.returncode == 0, ended.stderr
    unit = tmp_path / "staged/usr/lib/systemd/system/muxsocks-server.service"
    assert "ExecStart=/usr/bin/muxsocks-server " in unit.read_text()


@pytest.mark.once
@pytest.mark.parametrize("unit", ["muxsocks-server.service", "muxsocks-client.service",
                                  "muxsocks-client@.service"])
def test_the_sandbox_leaves_little_exposed(unit, installed):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    ended = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=yes",
                            "--threshold=20", installed / "lib/systemd/system" / unit],
                           capture_output=True, text=True, timeout=seconds(20))
    assert ended.returncode == 0, ended.stdout + ended.stderr


# Hardening


def compile_command(target):
    """How the build compiles a source file of the target."""
    commands = json.loads((programs.build_folder() / "compile_commands.json").read_text())
    return next(each["command"] for each in commands if f"/{target}.dir/" in each["command"])


def ships():
    """Whether the build that is tested is of the kind that ships."""
    cache = programs.build_folder() / "CMakeCache.txt"
    if not cache.exists():
        return False  # Programs without their build.
    cache = cache.read_text()
    return re.search(r"^CMAKE_BUILD_TYPE:\w+=(Release|RelWithDebInfo)$", cache, re.M) \
        and not programs.sanitizer() and "MUXSOCKS_HARDENED:BOOL=ON" in cache


@pytest.mark.parametrize("role", ROLES)
def test_what_ships_is_hardened(role):
    if not ships():
        pytest.skip("neither a release nor a package")
    if not shutil.which("readelf"):
        pytest.skip("readelf is not installed")
    # The C library's own start-up code has no marks of CET on Debian 12.
    start_up = programs.run(["c++", "-print-file-name=crt1.o"]).stdout.strip()
    marked = "IBT" in programs.run(["readelf", "-n", start_up]).stdout
    assert list(hardening.faults(programs.binary(f"muxsocks-{role}"), control_flow=marked)) == []
    command = compile_command(f"muxsocks-{role}")
    for flag in ("-fstack-clash-protection", "-fstack-protector-strong", "-fPIE"):
        assert flag in command.split()
    assert re.search(r"-D_FORTIFY_SOURCE=[23]\b", command)


@pytest.mark.once
def test_a_program_without_hardening_is_seen(tmp_path):
    if not shutil.which("readelf"):
        pytest.skip("readelf is not installed")
    (tmp_path / "a.cpp").write_text("int main() {}\n")
    ended = programs.run(["c++", "-no-pie", "-fno-pie", "-Wl,-z,norelro", "-Wl,-z,execstack", "-fno-stack-protector",
                          "-fcf-protection=none", "-o", tmp_path / "a", tmp_path / "a.cpp"])
    if ended.returncode != 0:
        pytest.skip("this compiler takes other options")
    found = " ".join(hardening.faults(tmp_path / "a"))
    for what in ("position", "RELRO", "stack can be executed", "watches its stack", "fortified"):
        assert what in found


# The source archive

NAMES = ["CMakeLists.txt", "packaging/kubernetes/server.yaml", "scripts/a", "configs/server.json"]
KEY = "-----BEGIN {}PRIVATE KEY-----\nMIGHAgEAMBMG\n"
SECRETS = {"server-key.pem": KEY.format(""), "client.json": "{}", "muxsocks-link": "",
           "packaging/kubernetes/server.json": "{}"}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def pack(tree, to):
    """What CPack runs for the source archive; the names of the files that it puts there."""
    ended = programs.run(["cmake", f"-DMUXSOCKS_SOURCE_DIR={tree}",
                          f"-DCPACK_TEMPORARY_INSTALL_DIRECTORY={to}", "-P",
                          programs.ROOT / "cmake/source_archive.cmake"], cwd="/")
    return ended, sorted(str(file.relative_to(to)) for file in to.rglob("*") if file.is_file())


def git(tree, *words):
    ended = programs.run(["git", "-c", "user.name=a", "-c", "user.email=a@localhost", *words], cwd=tree)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(name="clone")
def fixture_clone(tmp_path):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    clone = tmp_path / "muxsocks"
    write(clone, dict.fromkeys(NAMES, "text"))
    git(clone, "init", "-q")
    git(clone, "add", "-f", ".")
    return clone


@pytest.mark.once
def test_keys_beside_the_sources_stay_out_of_the_archive(clone, tmp_path):
    write(clone, SECRETS)
    ended, packed = pack(clone, tmp_path / "once")
    assert ended.returncode == 0, ended.stderr
    assert packed == sorted([*NAMES, "MANIFEST"])
    # And of one that is made from an unpacked archive.
    write(tmp_path / "once", SECRETS)
    ended, packed = pack(tmp_path / "once", tmp_path / "twice")
    assert ended.returncode == 0, ended.stderr
    assert packed == sorted([*NAMES, "MANIFEST"])


@pytest.mark.once
@pytest.mark.parametrize("name, text", [
    ("server-key.pem", "x"), ("a/client.json", "{}"), ("notes", KEY.format("EC ")),
    ("notes", '"token": "' + 43 * "a" + '"'), ("notes", "muxsocks://me:" + 43 * "a" + "@host:1")])
def test_no_archive_is_made_with_a_key_in_it(clone, tmp_path, name, text):
    write(clone, {name: text})
    git(clone, "add", "-f", ".")
    ended, _ = pack(clone, tmp_path / "archive")
    assert ended.returncode != 0 and name in ended.stderr


@pytest.mark.once
def test_no_archive_is_made_of_a_folder_whose_files_nobody_names(tmp_path):
    write(tmp_path / "folder", dict.fromkeys(NAMES, "text"))
    ended, packed = pack(tmp_path / "folder", tmp_path / "archive")
    assert ended.returncode != 0 and packed == []
    assert "neither a clone" in ended.stderr


@pytest.mark.once
def test_cpack_makes_the_archive_of_what_git_tracks(tmp_path):
    config = programs.build_folder() / "CPackSourceConfig.cmake"
    if not config.exists() or not (programs.ROOT / ".git").exists():
        pytest.skip("not a build in a clone")
    ended = programs.run(["cpack", "--config", config, "-B", tmp_path], timeout=120)
    assert ended.returncode == 0, ended.stderr
    with tarfile.open(next(tmp_path.glob("muxsocks-*.tar.xz"))) as archive:
        packed = {each.name.partition("/")[2] for each in archive if each.isfile()}
    tracked = programs.run(["git", "-c", f"safe.directory={programs.ROOT}", "ls-files"],
                           cwd=programs.ROOT).stdout.split()
    assert packed == {name for name in tracked if (programs.ROOT / name).exists()} | {"MANIFEST"}
