"""The static programs of `scripts/package --portable`: in roots in which nothing is but the program
and its files, in the layouts of other distributions, and on arm64 by emulation.

With MUXSOCKS_LONG=1 they are built, twice, in a root of Debian 13 that is made where it is missing.
MUXSOCKS_PORTABLE names a folder with them instead. Without either, what needs them is skipped.
"""

import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from engine import LONG, ROOT, run
from support import dns_server, hardening, keys, namespace, programs, web

ROLES = ["client", "server"]
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
NATIVE = {machine: name for name, machine in ARCHITECTURES.items()}.get(platform.machine())
TOKEN = "correct-horse-battery-staple-0123456789"
SERVER_PORT, CLIENT_PORT = 8443, 1080


@pytest.fixture(scope="session", autouse=True)
def docker_engine():
    """None is needed here."""


@pytest.fixture(scope="module")
def made():
    """The folder with the archives."""
    chosen = os.environ.get("MUXSOCKS_PORTABLE")
    if chosen:
        return Path(chosen).resolve()
    if not LONG:
        pytest.skip("builds in a root of Debian 13; with MUXSOCKS_LONG=1")
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip("needs root and debootstrap")
    run([ROOT / "scripts/package", "--portable"], timeout=3600)
    return ROOT / "build/portable"


@pytest.fixture(scope="module", params=ARCHITECTURES)
def archive(request, made):
    found = list(made.glob(f"muxsocks-*-linux-{request.param}.tar.gz"))
    if not found:
        pytest.skip(f"{made} has none for {request.param}")
    return found[0]


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory):
    """(the folder of an archive, its architecture)"""
    to = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(to)
    return to / archive.name.removesuffix(".tar.gz"), archive.name.split("-")[-1].split(".")[0]


def test_another_architecture_is_refused():
    ended = subprocess.run([ROOT / "scripts/package", "--portable", "mips"], capture_output=True,
                           text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "for amd64 or arm64, and not for 'mips'" in ended.stderr


def test_every_file_has_its_checksum(made):
    listed = dict(reversed(line.split("  ")) for line in
                  (made / "SHA256SUMS").read_text().splitlines())
    files = [file for file in made.iterdir() if file.name.startswith("muxsocks-")]
    assert set(listed) == {file.name for file in files}
    for file in files:
        assert hashlib.sha256(file.read_bytes()).hexdigest() == listed[file.name]


def test_an_archive_is_complete_and_names_its_place(archive):
    folder = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as tar:
        members = {member.name.removeprefix(folder).lstrip("/"): member for member in tar}
        for role in ROLES:
            assert members[f"bin/muxsocks-{role}"].mode == 0o755
            for name in (f"man/man1/muxsocks-{role}.1.gz", f"doc/muxsocks-{role}/LICENSE",
                         f"doc/muxsocks-{role}/examples/{role}.json",
                         f"doc/muxsocks-{role}/licences/libssl-dev",
                         f"bash-completion/completions/muxsocks-{role}"):
                assert members[f"share/{name}"].size > 0
            unit = tar.extractfile(members[f"lib/systemd/system/muxsocks-{role}.service"]).read()
            assert f"ExecStart=/usr/local/bin/muxsocks-{role} " in unit.decode()
            manual = tar.extractfile(members[f"share/man/man1/muxsocks-{role}.1.gz"]).read()
            assert "/usr/local/share/doc" in gzip.decompress(manual).decode()
        assert all(member.name.startswith(f"{folder}/") or member.name == folder
                   for member in members.values())
        assert {(member.uid, member.gid, member.uname, member.gname)
                for member in members.values()} == {(0, 0, "", "")}
        assert len({member.mtime for member in members.values()}) == 1


@pytest.mark.parametrize("role", ROLES)
def test_a_program_is_static_and_hardened(unpacked, role):
    folder, architecture = unpacked
    program = folder / f"bin/muxsocks-{role}"
    machine = {"amd64": "X86-64", "arm64": "AArch64"}[architecture]
    assert re.search(rf"Machine:.*{machine}", hardening.readelf("-h", program))
    assert list(hardening.faults(program, control_flow=False, static=True)) == []
    # Nothing of the folders that it was built in.
    assert not re.search(rb"/work/|/home/|/root/|portable-root", program.read_bytes())


def test_what_the_programs_are_made_of_is_listed(archive):
    listed = json.loads(Path(str(archive).replace(".tar.gz", ".spdx.json")).read_text())
    assert listed["spdxVersion"] == "SPDX-2.3"
    packages = {package["SPDXID"]: package for package in listed["packages"]}
    linked = {packages[each["relatedSpdxElement"]]["name"] for each in listed["relationships"]
              if each["relationshipType"] == "STATIC_LINK"}
    names = {package["name"] for package in packages.values()}
    assert {"libssl-dev", "libc-ares-dev", "qrencode"} <= linked
    assert any(re.fullmatch(r"libc6-dev(-\w+-cross)?", name) for name in linked)
    assert any(name.startswith("libstdc++") for name in linked)
    assert {"nlohmann-json3-dev", "libspdlog-dev", "libfmt-dev"} <= names
    for package in packages.values():
        assert package["versionInfo"]
    # Each element is there once, and every relation leads to one.
    assert len(packages) == len(listed["packages"])
    assert len({package["name"] for package in packages.values()}) == len(packages)


@pytest.mark.parametrize("role", ROLES)
def test_an_rpm_is_well_formed(made, role):
    if not shutil.which("rpm"):
        pytest.skip("rpm is not installed")
    for architecture in ARCHITECTURES.values():
        for package in made.glob(f"muxsocks-{role}-*.{architecture}.rpm"):
            asked = ["rpm", "-qp", package, "--queryformat"]
            assert run([*asked, "%{NAME} %{ARCH} %{LICENSE}"]) == f"muxsocks-{role} {architecture} MIT"
            listed = run(["rpm", "-qpl", package]).split("\n")
            assert {f"/usr/bin/muxsocks-{role}", f"/usr/lib/systemd/system/muxsocks-{role}.service",
                    f"/usr/share/doc/muxsocks-{role}/LICENSE"} <= set(listed)
            assert not {"/usr", "/usr/bin", "/etc", "/usr/lib/systemd"} & set(listed)
            # Nothing of any one distribution.
            needed = run(["rpm", "-qp", "--requires", package]).split("\n")
            assert not [each for each in needed if ".so" in each], needed


@pytest.mark.parametrize("role", ROLES)
def test_an_rpm_brings_what_its_unit_starts(made, role, tmp_path):
    if not shutil.which("rpm2cpio") or not shutil.which("cpio"):
        pytest.skip("rpm2cpio or cpio is not installed")
    found = list(made.glob(f"muxsocks-{role}-*.{platform.machine()}.rpm"))
    if not found:
        pytest.skip("none for this machine")
    run(["sh", "-c", 'rpm2cpio "$0" | cpio --quiet -id', found[0]], cwd=tmp_path)
    unit = (tmp_path / f"usr/lib/systemd/system/muxsocks-{role}.service").read_text()
    program, = set(re.findall(r"^ExecStart=(\S+)", unit, re.M))
    assert f"muxsocks-{role}" in run([f"{tmp_path}{program}", "--version"])


# Running them


class EmptyRoot:
    """A root in which nothing is but the two programs of an architecture, and what a test puts
    there. Those of another machine run by QEMU, if it is there."""

    def __init__(self, folder, unpacked):
        tree, self.architecture = unpacked
        self.folder = folder
        self.emulator = []
        (folder / "bin").mkdir(parents=True)
        (folder / "tmp").mkdir()
        for role in ROLES:
            shutil.copy(tree / f"bin/muxsocks-{role}", folder / "bin")
        if self.architecture != NATIVE:
            emulator = shutil.which(f"qemu-{ARCHITECTURES[self.architecture]}-static")
            if not emulator:
                pytest.skip("qemu-user-static is not installed")
            shutil.copy(emulator, folder / "bin/qemu")
            self.emulator = ["/bin/qemu"]

    def put(self, path, text):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
        return f"/{path}"

    def command(self, role, *words):
        if os.geteuid() != 0:
            pytest.skip("needs root, for chroot")
        chroot = shutil.which("chroot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        return [chroot, self.folder, *self.emulator, f"/bin/muxsocks-{role}", *words]

    def __call__(self, role, *words, check=True):
        return subprocess.run(list(map(str, self.command(role, *words))), capture_output=True,
                              text=True, check=check, env={}, timeout=60)


@pytest.fixture
def empty(unpacked, tmp_path):
    return EmptyRoot(tmp_path / "root", unpacked)


@pytest.fixture(scope="module", name="made_keys")
def throw_away_keys(tmp_path_factory):
    return keys.Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(name="network")
def network_namespace():
    made = namespace.Namespace()
    yield made
    made.stop()


class Proxy:
    """Server and client in an empty root, in a network of their own."""

    def __init__(self, empty, made_keys, network, tmp_path):
        self.empty, self.network, self.folder, self.keys = empty, network, tmp_path, made_keys
        self.running = []
        self.server = {
            "listen": f"127.0.0.1:{SERVER_PORT}",
            "tls": {"cert": empty.put("tls/cert.pem", made_keys.cert.read_text()),
                    "key": empty.put("tls/key.pem", made_keys.key.read_text())},
            "users": [{"name": "alice", "token": TOKEN}],
            "destinations": {"allow_private": True}, "timeouts": {"drain": "1s"}}
        self.client = {
            "listen": f"127.0.0.1:{CLIENT_PORT}", "server": f"127.0.0.1:{SERVER_PORT}",
            "auth": {"user": "alice", "token": TOKEN}, "timeouts": {"drain": "1s"},
            "tls": {"pin_sha256": [made_keys.pin]}}

    def start(self):
        for role in ("server", "client"):
            self.empty.put(f"{role}.json", json.dumps(getattr(self, role)))
            self.running.append(programs.Program(
                [*self.network.prefix, "env", "-u", "SSL_CERT_FILE", "-u", "SSL_CERT_DIR",
                 *self.empty.command(role, "-c", f"/{role}.json")],
                self.folder, name=role))
        return self

    def link_is_up(self):
        self.running[1].wait_for_log(r"link .*\bis up|link to \S+:? up", timeout=30)

    def page(self, url):
        return run([*self.network.prefix, "curl", "-sS", "--max-time", "20", "--proxy",
                    f"socks5h://127.0.0.1:{CLIENT_PORT}", url], timeout=30)

    def stop(self):
        for each in reversed(self.running):
            assert each.stop() == 0, each.last_words()


@pytest.fixture
def proxy(empty, made_keys, network, tmp_path):
    made = Proxy(empty, made_keys, network, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def site(network, tmp_path):
    """A web server of that network."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www/page").write_text("hello")
    with network.inside():
        server = web.WebServer(tmp_path / "www")
    yield server
    server.stop()


@pytest.mark.parametrize("role", ROLES)
def test_a_program_runs_in_an_empty_root_and_names_its_openssl(empty, role):
    assert re.match(rf"muxsocks-{role} [\d.]+ \(OpenSSL 3\.([5-9]|\d\d)", empty(role, "--version").stdout)


def test_init_makes_what_both_programs_take(empty):
    """With a group of /etc/group: no library is there that would ask others."""
    empty.put("etc/group", "root:x:0:\nmuxsocks:x:4711:\n")
    empty("server", "init", "--host", "127.0.0.1:8443", "--dir", "/made", "--group", "muxsocks")
    assert (empty.folder / "made/server-key.pem").stat().st_gid == 4711
    for role in ROLES:
        assert "is good" in empty(role, "--test", "-c", f"/made/{role}.json").stdout
    ended = empty("server", "init", "--host", "127.0.0.1:8443", "--dir", "/other", "--group", "none",
                  check=False)
    assert ended.returncode != 0 and 'no group "none"' in ended.stderr


def test_a_proxy_without_any_file_of_a_system(proxy, site):
    """And with names that need none: localhost."""
    proxy.start().link_is_up()
    assert proxy.page(f"http://127.0.0.1:{site.port}/page") == "hello"
    assert proxy.page(f"http://localhost:{site.port}/page") == "hello"


def test_names_of_hosts_of_name_servers_and_of_search_domains(proxy, site):
    proxy.empty.put("etc/hosts", "127.0.0.1 localhost written.test\n")
    proxy.empty.put("etc/resolv.conf", "search nowhere.test muxsocks.test\nnameserver 127.0.0.1\n")
    proxy.client["server"] = f"gate:{SERVER_PORT}"
    with proxy.network.inside():
        dns = dns_server.DnsServer({"asked.test": ["127.0.0.1"], "gate.muxsocks.test": ["127.0.0.1"]},
                                   port=53)
    try:
        proxy.start().link_is_up()
        assert proxy.page(f"http://written.test:{site.port}/page") == "hello"
        assert proxy.page(f"http://asked.test:{site.port}/page") == "hello"
    finally:
        dns.stop()
    asked = {name for name, _ in dns.queries}
    assert {"gate.nowhere.test", "gate.muxsocks.test", "asked.test"} <= asked
    assert "written.test" not in asked


@pytest.mark.parametrize("file", [
    "etc/ssl/certs/ca-certificates.crt",                 # Debian, Alpine, Arch
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora
    "etc/ssl/ca-bundle.pem",                             # openSUSE
    "etc/ssl/cert.pem"])                                 # OpenWrt
def test_authorities_are_found_where_the_distribution_has_them(proxy, site, file):
    proxy.client["tls"] = {}
    proxy.empty.put(file, proxy.keys.ca.read_text())
    proxy.start().link_is_up()
    assert proxy.page(f"http://127.0.0.1:{site.port}/page") == "hello"


def test_a_system_without_authorities_trusts_none(proxy):
    proxy.client["tls"] = {}
    proxy.start().running[1].wait_for_log("not signed by a CA that this system trusts", timeout=30)


def test_settings_of_the_systems_openssl_are_left_alone(empty):
    """They may name modules, which were built for another C library than that in the program."""
    for place in ("usr/lib/ssl", "etc/ssl", "etc/pki/tls"):
        empty.put(f"{place}/openssl.cnf", "openssl_conf = broken\n[broken]\nproviders = none\n"
                                          "[none]\nlegacy = legacy\n[legacy]\nactivate = 1\n")
    empty("server", "init", "--host", "127.0.0.1:8443", "--dir", "/made")
    assert "is good" in empty("server", "--test", "-c", "/made/server.json").stdout


def test_what_it_takes_to_start(proxy, archive):
    """For the documents: what `pytest -s` shows."""
    if proxy.empty.architecture != NATIVE:
        pytest.skip("an emulator's figures say nothing")
    proxy.empty("client", "--version")
    begun = time.monotonic()
    for _ in range(20):
        proxy.empty("client", "--version")
    started = (time.monotonic() - begun) / 20
    proxy.start().link_is_up()
    sizes = [(proxy.empty.folder / f"bin/muxsocks-{role}").stat().st_size / 1e6 for role in ROLES]
    resident = [each.resident_bytes() / 1e6 for each in reversed(proxy.running)]
    print(f"\narchive {archive.stat().st_size / 1e6:.1f} MB; client, server: {sizes[0]:.1f}, "
          f"{sizes[1]:.1f} MB on disk, {resident[0]:.1f}, {resident[1]:.1f} MB resident with a link up; "
          f"--version in {started * 1000:.0f} ms")
    assert max(sizes) < 20
    assert max(resident) < 40


@pytest.mark.skipif(not LONG, reason="builds everything again; with MUXSOCKS_LONG=1")
def test_the_same_tree_gives_the_same_bytes(made):
    before = (made / "SHA256SUMS").read_text()
    run([ROOT / "scripts/package", "--portable"], timeout=3600)
    assert (ROOT / "build/portable/SHA256SUMS").read_text() == before
