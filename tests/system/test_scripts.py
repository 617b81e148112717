"""scripts/setup and its kind on machines of other kinds: commands that are hidden, and others that
only tell what they were asked."""

import importlib.util
import os
import re
import shutil
import sys
import threading

import pytest

from support import programs

pytestmark = pytest.mark.once

SCRIPTS = programs.ROOT / "scripts"
# A unit with an error in the middle of much that others say.
FAILING_BUILD = r"""
case "$*" in *--build*) ;; *) exit 0 ;; esac
echo '[1/40] Building CXX object a.cpp.o'
echo 'FAILED: [code=1] protocol/b.cpp.o'
echo "/usr/bin/c++ -the-long-command-line-of-b -Wno-error=x"
echo 'In file included from protocol/b.cpp:1:'
echo 'protocol/b.hpp: In function int f():'
echo "protocol/b.hpp:7:5: error: 'boom' was not declared in this scope"
echo '    7 |     boom();'
for i in {2..40}; do echo "[$i/40] Building CXX object $i.cpp.o"; done
echo 'ninja: build stopped: subcommand failed.'
exit 1
"""
MANAGERS = ["apt-get", "dnf", "pacman", "apk", "zypper"]


class Machine:
    """A PATH of this machine's commands but those that are hidden; stubs write their words to
    `told`, and end as their script says."""

    def __init__(self, folder):
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.told = folder / "told"
        for place in ("/usr/sbin", "/usr/local/bin", "/usr/bin"):
            for name in os.listdir(place) if os.path.isdir(place) else []:
                if not (self.bin / name).is_symlink():
                    (self.bin / name).symlink_to(f"{place}/{name}")
        self.hide(*MANAGERS)

    def hide(self, *names):
        for name in names:
            (self.bin / name).unlink(missing_ok=True)

    def stub(self, name, script="exit 0"):
        self.hide(name)
        (self.bin / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {self.told}\n{script}\n')
        (self.bin / name).chmod(0o755)

    def calls(self):
        return self.told.read_text().splitlines() if self.told.exists() else []

    def __call__(self, script, *words):
        environment = {**os.environ, "PATH": str(self.bin)}
        shell = "bash" if not script.endswith(".py") else "/usr/bin/python3"
        return programs.run([shutil.which(shell), SCRIPTS / script, *words], env=environment)


@pytest.fixture(name="machine")
def fixture_machine(tmp_path):
    """Everything for a build is here: something was built for these tests."""
    return Machine(tmp_path)


@pytest.mark.parametrize("manager", [None, *MANAGERS])
def test_where_everything_is_there_nothing_is_installed_or_asked_for(machine, manager):
    if manager:
        machine.stub(manager, "exit 1")
    ended = machine("setup", "build")
    assert (ended.returncode, ended.stdout) == (0, "setup: everything for 'build' is there\n")
    assert machine.calls() == []


@pytest.mark.parametrize("manager, command", [
    ("dnf", "dnf install ninja-build xz"), ("pacman", "pacman -S --needed ninja xz"),
    ("apk", "apk add samurai xz"), ("zypper", "zypper install ninja xz")])
def test_other_systems_packages_are_named_where_something_is_missing(machine, manager, command):
    machine.stub(manager)
    machine.hide("ninja", "ninja-build", "xz")
    ended = machine("setup", "package")
    assert ended.returncode == 1 and f"    {command}\n" in ended.stderr
    assert machine.calls() == []


def test_a_library_that_is_missing_is_named(machine):
    """The compiler is asked: here one that finds no header at all."""
    machine.stub("dnf")
    machine.stub("c++", f'exec {shutil.which("g++") or shutil.which("c++")} -nostdinc -nostdinc++ "$@"')
    ended = machine("setup", "build")
    assert ended.returncode == 1
    for package in ("boost-devel", "openssl-devel", "json-devel", "spdlog-devel", "c-ares-devel",
                    "qrencode-devel", "catch-devel"):
        assert package in ended.stderr
    assert "gcc-c++" not in ended.stderr


def test_what_tests_can_do_without_stops_nobody(machine):
    machine.stub("pacman")
    if machine("setup", "test").returncode != 0:
        pytest.skip("what scripts/setup test looks for is not here")
    machine.hide("fish", "proxychains4")
    ended = machine("setup", "test")
    assert ended.returncode == 0
    # Others may be missing here, too.
    assert "left out" in ended.stderr
    assert re.search(r"pacman -S --needed (.* )?proxychains-ng (.* )?fish\n", ended.stderr)


def test_only_what_is_missing_is_installed(machine):
    machine.stub("apt-get")
    machine.stub("id", "echo 0")
    machine.hide("xz")
    ended = machine("setup", "package")
    assert ended.returncode == 0, ended.stderr
    update, install = [call for call in machine.calls() if call.startswith("apt-get ")]
    assert " update" in update and install.endswith("install --no-install-recommends xz-utils")
    assert "still not found: xz" in ended.stderr


@pytest.mark.parametrize("sudo", ["absent", "refuses"])
def test_that_sudo_does_not_work_is_not_taken_for_a_mirror(machine, sudo):
    machine.stub("apt-get")
    machine.stub("id", "echo 1000")
    machine.hide("xz", "sudo")
    if sudo == "refuses":
        machine.stub("sudo", "echo 'joe is not in the sudoers file.' >&2; exit 1")
    ended = machine("setup", "package")
    assert ended.returncode == 1 and "mirror" not in ended.stderr
    assert "sudo" in ended.stderr.splitlines()[-2]
    assert "apt-get update && apt-get install --no-install-recommends xz-utils" in ended.stderr
    assert not any(call.startswith("apt-get") for call in machine.calls())
    if sudo == "refuses":
        assert "not in the sudoers file" in ended.stderr


@pytest.mark.parametrize("printed, why", [
    ("Err:1 http://deb.example.org/debian trixie InRelease", "mirror"),
    ("E: Unable to locate package xz-utils", "does not have"),
    ("E: Could not get lock /var/lib/dpkg/lock-frontend.", "lock"),
    ("dpkg: error processing archive: No space left on device", "disk")])
def test_a_failure_of_apt_is_told_by_its_cause(machine, printed, why):
    machine.stub("apt-get", f'case "$*" in *" install "*) echo "{printed}"; exit 100 ;; esac')
    machine.stub("id", "echo 0")
    machine.hide("xz")
    ended = machine("setup", "package")
    assert ended.returncode == 1 and why in ended.stderr.splitlines()[-1]
    assert printed in ended.stderr


@pytest.mark.parametrize("words", [["build", "none", "--log", "LOG"], ["demo", "--once"], ["package"],
                                   ["../tests/run_all.py", "--only", "benchmarks", "--preset", "release"]],
                         ids=lambda words: words[0])
def test_a_build_that_fails_shows_the_compilers_error(machine, words, tmp_path):
    """And not the last lines of the log, which belong to others."""
    machine.stub("cmake", FAILING_BUILD)
    words = [str(tmp_path / "log") if word == "LOG" else word for word in words]
    ended = machine(*words)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "FAILED: [code=1] protocol/b.cpp.o" in said
    assert "protocol/b.hpp:7:5: error: 'boom' was not declared in this scope\n    7 |     boom();" in said
    assert "In function int f()" in said
    assert "-the-long-command-line-of-b" not in said and "Building CXX object 39" not in said


def test_a_configuration_that_fails_shows_what_cmake_says(machine, tmp_path):
    machine.stub("cmake", 'echo "CMake Error at cmake/dependencies.cmake:7 (find_package):"; echo '
                          '"  Could not find Boost"; for i in {1..60}; do echo "-- $i"; done; exit 1')
    ended = machine("build", "none", "--log", tmp_path / "log")
    assert ended.returncode == 1 and "Could not find Boost" in ended.stderr
    assert "-- 59" not in ended.stderr


def test_a_long_build_says_how_far_it_is(machine, tmp_path):
    machine.stub("cmake", f"""
case "$*" in *--build*) ;; *) exit 0 ;; esac
echo '[7/40] Building CXX object 7.cpp.o'
for i in {{1..200}}; do [ ! -e {tmp_path}/seen ] || exit 0; sleep 0.05; done; exit 1""")
    (tmp_path / "bin/grep").unlink()
    # The progress is asked for with grep; a second question comes after the first line was printed.
    machine.stub("grep", f'[ -e {tmp_path}/asked ] && touch {tmp_path}/seen; touch {tmp_path}/asked; '
                         f'exec {shutil.which("grep")} "$@"')
    ended = programs.run([shutil.which("bash"), SCRIPTS / "build", "none", "--log", tmp_path / "log"],
                         env={**os.environ, "PATH": str(machine.bin), "MUXSOCKS_PROGRESS_SECONDS": "0.1"})
    assert ended.returncode == 0, ended.stderr
    assert "[7/40] after " in ended.stdout


# scripts/test itself


@pytest.fixture(name="run_all")
def fixture_run_all(monkeypatch, tmp_path):
    """tests/run_all.py as a module. Nothing is built or run: `happened` lists what would have been."""
    spec = importlib.util.spec_from_file_location("run_all", programs.ROOT / "tests/run_all.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.LOGS = tmp_path
    module.happened = []
    monkeypatch.setattr(sys, "argv", ["test", "--only", "unit", "--preset", "ci", "--preset", "asan"])
    return module


def test_a_preset_is_built_beside_the_tests_of_the_one_in_front_of_it(run_all):
    asan_begins = threading.Event()

    def build(preset, jobs, beside=False):
        assert beside == (preset == "asan")
        if preset == "asan":
            asan_begins.set()
        return run_all.Counts()

    def run_label(preset, label, arguments):
        assert asan_begins.wait(10)
        run_all.happened.append((preset, label))
        return run_all.Counts(passed=1)

    run_all.build, run_all.run_label = build, run_label
    assert run_all.main() == 0
    assert run_all.happened == [("ci", "unit"), ("asan", "unit")]


@pytest.mark.parametrize("broken, tested", [("ci", "asan"), ("asan", "ci")])
def test_what_could_not_be_built_is_not_tested_and_counts_as_failed(run_all, capsys, broken, tested):
    run_all.build = lambda preset, *_, **__: run_all.Counts(failed=int(preset == broken))
    run_all.run_label = lambda preset, *_: run_all.happened.append(preset) or run_all.Counts(passed=1)
    assert run_all.main() == 1
    assert run_all.happened == [tested]
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


def test_a_build_beside_tests_shows_the_compilers_error_at_its_end(run_all, machine, monkeypatch, capfd):
    machine.stub("cmake", FAILING_BUILD)
    monkeypatch.setenv("PATH", str(machine.bin))
    assert run_all.build("asan", 1, beside=True).failed == 1
    said = capfd.readouterr().out
    assert "protocol/b.hpp:7:5: error: 'boom' was not declared in this scope" in said
    assert "asan    build       0 passed, 1 failed, 0 skipped" in said


def test_a_step_counts_the_processor_time_of_its_own_commands(run_all):
    step = run_all.Step("ci", "unit")
    assert step.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"]) == 0
    assert step.cpu >= 0.2
    assert step.run([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert run_all.Step("ci", "unit").cpu == 0
