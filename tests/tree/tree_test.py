"""Reads the sources and checks what no compiler does: the layers, and what must not be in the tree.

The layers are an allowed-list of include directions, folder by folder, which stands in docs/DESIGN.md
and nowhere else. The core (protocol/ and socks5/) has in addition a list of the standard headers that it may use, because "no socket, clock,
thread, file or log" is what makes it testable on a scripted clock and pipe.

Run: /usr/bin/python3 -m pytest tests/tree
"""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def read_layers():
    """Folder -> folders whose headers it may include, from the table in docs/DESIGN.md. The longest
    matching folder counts, so that protocol/link is not protocol. Folders that are not named there
    (tests, benchmarks) may use all."""
    text = (ROOT / "docs/DESIGN.md").read_text(encoding="utf-8")
    section = re.search(r"^## Layers\n(.*?)^## ", text, re.MULTILINE | re.DOTALL).group(1)
    table = re.search(r"^\| a file in \|.*\n\|[-|]+\n((?:\|.*\n)+)", section, re.MULTILINE).group(1)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    return {folder.rstrip("/"): {folder.rstrip("/"), *(each.rstrip("/") for each in re.findall(
        r"[\w/]+/", others))} for folder, others in rows}


MAY_INCLUDE = read_layers()
CORE = {folder for folder, others in MAY_INCLUDE.items() if others == {folder}} | {"protocol/session"}
FOLDERS = set(MAY_INCLUDE) | {"tests", "benchmarks"}

# <chrono> is for durations and time points that come in as arguments; clocks are caught below.
CORE_HEADERS = set(
    """algorithm array atomic bit bitset cassert cerrno charconv chrono climits compare concepts cstddef cstdint
    cstdlib cstring deque functional initializer_list iterator limits list map memory new numeric
    optional queue ratio set span stdexcept string string_view system_error tuple type_traits
    unordered_map unordered_set utility variant vector""".split()
)
CORE_FORBIDDEN = re.compile(
    r"_clock::now|\bstd::(thread|mutex|cout|cerr|clog|random_device|getenv)\b|\bf?printf\s*\("
)

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

# Paths of the machine that the files were written on, and keys that were pasted.
MACHINE = re.compile(
    r"(?<![\w.])/(?:root|work|home/(?!user\b)[a-z]\w*)/\w|/tmp/[a-z]\w*/\w+/"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/]"
)


def folder_of(path, folders=FOLDERS):
    """The named folder that `path` lies in, the longest one that fits; None outside of all."""
    fitting = [folder for folder in folders if path.startswith(folder + "/")]
    return max(fitting, key=len, default=None)


def include_faults(path, text):
    """One sentence for each include of `text` (the source at `path`) that points the wrong way."""
    folder = folder_of(path)
    allowed = MAY_INCLUDE.get(folder)
    for match in INCLUDE.finditer(text):
        own, system = match.groups()
        if own is not None:
            target = folder_of(own)
            if target is None:
                yield f'{path}: "{own}" is not named from the root of the tree'
            elif allowed is not None and target not in allowed:
                yield f"{path}: {folder} must not include {own}"
        elif folder in CORE and system not in CORE_HEADERS:
            yield f"{path}: {folder} is the core and must not include <{system}>"


def core_faults(path, text):
    """One sentence for each clock, thread, stream or random device in a source of the core."""
    if folder_of(path) in CORE:
        for match in CORE_FORBIDDEN.finditer(COMMENT.sub("", text)):
            yield f"{path}: {match.group()} is not for the core: take it as an argument"


def machine_faults(path, text):
    """One sentence for each path of a certain machine and each private key in `text`."""
    for match in MACHINE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield f"{path}:{line}: {match.group()!r} belongs to one machine only"


def header_faults(path, text):
    """Headers are guarded by #pragma once, and say in a \\file paragraph what they are for."""
    if path.endswith(".hpp"):
        if not text.startswith("#pragma once\n"):
            yield f"{path}: the first line is not #pragma once"
        if "\\file" not in text:
            yield f"{path}: no \\file paragraph says what the header is for"


def build_faults(path, text):
    """Sources are listed by name: a GLOB would not notice a file that came or went."""
    if path.endswith("CMakeLists.txt") and re.search(r"\bGLOB|\badd_definitions\b", text):
        yield f"{path}: GLOB or add_definitions"


def place_of_keys_faults(path, text):
    """Where a document tells `init` and `import` to write: nowhere in a clone, which some have in
    ~/muxsocks, and which others see."""
    for place in re.findall(r"(?:(?:\binit\b|\bimport\b)[^\n]* (?:--dir|--out) |\bMUXSOCKS_LINK_FILE=)"
                            r"([^\s|`-][^\s|`]*)", text):
        if not re.match(r"/|~/(?!muxsocks(/|$))", place):
            yield f"{path}: {place} lies in a clone, and keys must not"


def tracked_files():
    """Names of the tree's files: those that git knows, or all but build folders in an archive."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True)
        if listing.returncode == 0:
            return [name for name in listing.stdout.split("\0")
                    if name and (ROOT / name).is_file()]
    names = []
    for top, folders, files in os.walk(ROOT):
        folders[:] = [one for one in folders if one not in ("build", ".git", "__pycache__")]
        names += [os.path.relpath(os.path.join(top, name), ROOT) for name in files]
    return names


@pytest.fixture(scope="module", name="texts")
def fixture_texts():
    """Path and text of each text file of the tree."""
    texts = {}
    for name in sorted(tracked_files()):
        try:
            texts[name] = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # fuzz inputs and pictures
    assert "protocol/frame.hpp" in texts
    return texts


def sources(texts):
    return {path: text for path, text in texts.items() if path.endswith((".hpp", ".cpp"))}


def faults(check, texts):
    return [fault for path, text in texts.items() for fault in check(path, text)]


def test_includes_follow_the_layers(texts):
    assert faults(include_faults, sources(texts)) == []


def test_the_rule_of_layers_stands_once(texts):
    """In docs/DESIGN.md, for every folder with sources, and nowhere in other words."""
    assert CORE == {"protocol", "protocol/session", "socks5", "http"}
    assert set(MAY_INCLUDE) == {"/".join(path.split("/")[:-1]) for path in sources(texts)
                                if path.split("/")[0] not in ("tests", "benchmarks", "cmake")}
    for path in ("CONTRIBUTING.md", "docs/DESIGN.md", "README.md"):
        assert not re.search(r"(client|server|program|link) *-+> *(protocol|socks5)", texts[path]), path
        assert path == "docs/DESIGN.md" or "may include " not in texts[path]


def test_security_names_keys_and_defaults_as_they_are(texts):
    """A key in backquotes, and behind it in brackets its default, as docs/CONFIGURATION.md has it."""
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| [^|]* \| ([^|]*) \|", texts["docs/CONFIGURATION.md"], re.M)
    defaults = {}
    for key, default in rows:
        defaults.setdefault(key, set()).add(default.strip("`\""))
    found = re.findall(r"`([a-z_]+\.[a-z_.]+)`(?: \((\w+)[,)])?", texts["SECURITY.md"])
    found = [(key, default) for key, default in found if not key.startswith("net.") and key != "client.json"]
    assert len(found) > 10
    for key, default in found:
        assert key in defaults, key
        assert not default or default in defaults[key], (key, default, defaults[key])


def test_browsers_are_told_all_that_keeps_names_and_addresses(texts):
    """Wherever Chromium or about:config gets the proxy."""
    for path in ("README.md", "scripts/demo"):
        for command in re.findall(r"chromium (?:.*\\\n)*.*--proxy-server.*\n.*", texts[path]):
            assert "--webrtc-ip-handling-policy=disable_non_proxied_udp" in command, path
    for key in ("socks5_remote_dns", "socks_remote_dns"):
        assert f"network.proxy.{key}" in texts["README.md"]


def test_core_has_no_clock_thread_or_output(texts):
    assert faults(core_faults, sources(texts)) == []


def test_headers_are_guarded_and_introduced(texts):
    assert faults(header_faults, sources(texts)) == []


def test_build_files_name_their_sources(texts):
    assert faults(build_faults, texts) == []


def test_every_source_is_built(texts):
    """A .cpp that no CMakeLists.txt names is dead, or is a test that never runs."""
    listed = " ".join(text for path, text in texts.items() if path.endswith("CMakeLists.txt"))
    words = set(re.findall(r"[\w./-]+", listed))
    stems = {word.rsplit("/", 1)[-1] for word in words}
    dead = [path for path in sources(texts) if path.endswith(".cpp")
            and path.rsplit("/", 1)[-1] not in stems
            and path.rsplit("/", 1)[-1][:-len(".cpp")] not in stems]
    assert dead == []


def test_no_path_of_a_machine_and_no_private_key(texts):
    here = str(pathlib.Path(__file__).resolve().relative_to(ROOT))
    rest = {path: text for path, text in texts.items() if path != here}
    assert faults(machine_faults, rest) == []


def test_no_document_puts_keys_into_a_clone(texts):
    documents = {path: text for path, text in texts.items()
                 if path.endswith(".md") or path.startswith(("docker/", "packaging/", "configs/"))}
    assert faults(place_of_keys_faults, documents) == []


@pytest.mark.parametrize("folder", ["", "packaging/kubernetes/", "docker/"])
def test_git_ignores_what_is_for_its_owner_alone(folder):
    names = ["server.json", "server.json.bak", "client.json", "server-key.pem", "server-cert.pem",
             "server-key.pem.new", *([] if folder.startswith("packaging") else ["link"])]
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    git = ["git", "-c", f"safe.directory={ROOT}"]
    told = subprocess.run([*git, "check-ignore", *(folder + name for name in names)], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert told.stdout.split() == [folder + name for name in names]
    told = subprocess.run([*git, "ls-files", "--cached", "--ignored", "--exclude-standard"], cwd=ROOT,
                          capture_output=True, text=True, check=True)
    assert told.stdout == "", "and nothing that belongs to the tree"


# The checks themselves: each must see what it is for.


@pytest.mark.parametrize("path, line", [
    ("protocol/frame.cpp", '#include "protocol/link/loop/asio.hpp"'),
    ("protocol/frame.cpp", '#include "socks5/address.hpp"'),
    ("protocol/frame.cpp", "#include <thread>"),
    ("protocol/frame.cpp", "#include <openssl/ssl.h>"),
    ("socks5/address.cpp", '#include "protocol/byte_order.hpp"'),
    ("socks5/address.cpp", "#  include <sys/socket.h>"),
    ("protocol/link/link.cpp", '#include "socks5/address.hpp"'),
    ("protocol/link/link.cpp", '#include "client/config.hpp"'),
    ("protocol/program/config.cpp", '#include "server/config.hpp"'),
    ("client/main.cpp", '#include "server/config.hpp"'),
    ("server/main.cpp", '#include "tests/catch.hpp"'),
    ("server/main.cpp", '#include "config.hpp"'),
])
def test_a_wrong_include_is_seen(path, line):
    assert len(list(include_faults(path, f"// text\n{line}\n"))) == 1


@pytest.mark.parametrize("path, line", [
    ("protocol/frame.cpp", '#include "protocol/frame.hpp"'),
    ("protocol/link/link.cpp", '#include "protocol/frame.hpp"'),
    ("protocol/link/link.cpp", "#include <openssl/ssl.h>"),
    ("client/main.cpp", '#include "socks5/address.hpp"'),
    ("server/main.cpp", '#include "protocol/program/log.hpp"'),
    ("tests/sim/pair.cpp", '#include "server/config.hpp"'),
])
def test_a_right_include_passes(path, line):
    assert list(include_faults(path, f"{line}\n")) == []


def test_a_clock_in_the_core_is_seen_and_one_in_a_comment_is_not():
    line = "auto now = std::chrono::steady_clock::now();\n"
    assert len(list(core_faults("protocol/session.cpp", line))) == 1
    assert list(core_faults("protocol/session.cpp", "// " + line)) == []
    assert list(core_faults("protocol/link/link.cpp", line)) == []


@pytest.mark.parametrize("text", ["/root/x", "/home/anna/muxsocks", "/tmp/wt/door/build"])
def test_a_path_of_a_machine_is_seen(text):
    assert len(list(machine_faults("README.md", f"see {text} for more"))) == 1


@pytest.mark.parametrize("text", ["/etc/muxsocks", "~/muxsocks", "/home/user/x", "a/root/b", "/tmp"])
def test_an_ordinary_path_passes(text):
    assert list(machine_faults("README.md", f"see {text} for more")) == []


@pytest.mark.parametrize("text, count", [
    ("init --dir ~/muxsocks", 1), ("init --dir packaging/kubernetes", 1), ("import FILE --out client.json", 1),
    ("MUXSOCKS_LINK_FILE=$PWD/link docker", 1), ("init --dir ~/.config/muxsocks", 0),
    ("import FILE --out /etc/muxsocks/client.json", 0)])
def test_keys_in_a_clone_are_seen(text, count):
    assert len(list(place_of_keys_faults("README.md", text))) == count


def test_an_unguarded_header_is_seen():
    assert len(list(header_faults("client/a.hpp", "#include <vector>\n"))) == 2


def test_the_readme_uses_a_program_only_after_it_has_installed_it(texts):
    readme = texts["README.md"]
    for role in ("client", "server"):
        used = re.search(rf"^    (?:sudo )?muxsocks-{role}\b", readme, re.MULTILINE).start()
        installed = re.search(rf"^    .*apt install \S*muxsocks-{role}_", readme, re.MULTILINE)
        assert installed and installed.start() < used, role
