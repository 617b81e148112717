"""Builds the presets and runs all their tests; scripts/test calls it once everything is installed.

What runs where, unless options narrow it:

  (no build)  format      scripts/check-format
              tree        tests/tree: layers, and what must not be in the tree
              docker      tests/docker: images, Compose files and packages, where a Docker engine
                          answers; beside everything else, as it mostly waits
  ci          unit, simulation, system, benchmarks (benchmarks/compare --quick: wrong bytes only)
  asan        unit, simulation, system without the tests marked slow or once
  tsan        unit where there are threads, system as asan
  fuzz        fuzz: each fuzzer for some seconds

The builds follow each other, each beside the tests of those in front of it, which mostly wait: it
takes the processor time that they leave.

Each step prints one line. A step that fails shows the end of its log; all logs are in build/logs.
A few tests of programs that missed a deadline beside others are run once more alone, as a busy
machine can miss any; the step's line names those that then passed. What fails in any other way, as
by a sanitizer's report, has failed.
The last line is `N passed, N failed, N skipped`: Catch2 test cases, pytest tests, and one for each
fuzzer, for the format, for the benchmarks, and for each build that fails. The exit code is 0 if
nothing failed.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "logs"
TAIL = 40  # lines of a failing step's log that are shown
MOST_AGAIN = 5  # more tests than these do not fail by a busy machine's accident
MOST_BESIDE = 12  # system tests at once, on however many cores
SANITIZER = r"Sanitizer: |: runtime error: "

CTEST_LABELS = ("unit", "simulation", "fuzz")
LABELS = ("format", "tree", "docker", "unit", "simulation", "system", "fuzz", "benchmarks")
PLAN = {
    "ci": ("unit", "simulation", "system", "benchmarks"),
    "asan": ("unit", "simulation", "system"),
    "tsan": ("unit", "system"),
    "fuzz": ("fuzz",),
}
SANITIZERS = ("asan", "tsan")
CLANGS = (*SANITIZERS, "fuzz")  # With sanitizers Clang takes half of what GCC takes.
QUICK = {"ci": ("unit", "simulation", "system")}
OTHERS = {"dev": PLAN["ci"], "release": PLAN["ci"]}
# Those besides muxsocks itself that take the least to bring.
BENCHMARK_PEERS = "muxsocks,muxsocks-plain,ssh"

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


@dataclasses.dataclass
class Counts:
    """How many tests passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Counts(self.passed + other.passed, self.failed + other.failed,
                      self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class Step:
    """One line of the report: a command with its log, and what came out of it."""

    def __init__(self, preset, label):
        self.preset = preset
        self.label = label
        self.log = LOGS / f"{preset}-{label}.log"
        self.begun = time.monotonic()
        self.cpu = 0.0
        self.log.write_text("")
        self.reason = ""

    def run(self, command, **environment):
        """Runs `command`, its output appended to the log; its exit code."""
        with open(self.log, "a", encoding="utf-8") as log:
            print("$", *command, file=log, flush=True)
            return self.run_to(log, command, **environment)

    def run_to(self, output, command, **environment):
        """Runs `command`, its output going to a file, or to ours if that is None; its exit code.
        Its processor time counts as the step's, with that of all it has waited for."""
        with subprocess.Popen(
                [str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT if output else None,
                env={**os.environ, **environment}) as child:
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        self.cpu += used.ru_utime + used.ru_stime
        return child.returncode

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def report(self, counts, tail=TAIL):
        """Prints the step's line, and the last `tail` lines of the log if something failed."""
        seconds = time.monotonic() - self.begun
        result = str(counts) if counts != Counts() else "done"
        print(f"{self.preset:7} {self.label:11} {result:36} {seconds:6.1f} s, cpu {self.cpu:6.1f} s  "
              f"{self.reason}".rstrip(), flush=True)
        if counts.failed and tail:
            lines = self.text().splitlines()[-tail:]
            print(f"--- the end of {self.log.relative_to(ROOT)}", *lines, "---", sep="\n",
                  flush=True)
        return counts


# Builds


def clang():
    """The distribution's clang++, whatever version it has; None without one."""
    names = ["clang++"] + [f"clang++-{version}" for version in range(30, 13, -1)]
    return next(filter(None, map(shutil.which, names)), None)


def build(preset, jobs, beside=False):
    """Configures and builds a preset; counts nothing unless it fails. `beside` tests it leaves the
    processor to them, and says what happened only at its end."""
    step = Step(preset, "build")
    # It shows how far it is, and what the compiler says.
    command = [ROOT / "scripts/build", preset, "--keep-going", "--jobs", str(jobs), "--log", step.log]
    if preset in CLANGS:
        compiler = clang()
        if compiler is None:
            step.log.write_text("There is no clang++ here: scripts/setup test installs it.\n")
            return step.report(Counts(failed=1))
        command.append(f"-DCMAKE_CXX_COMPILER={compiler}")
    if not beside:
        code = step.run_to(None, command)
    else:
        with tempfile.TemporaryFile() as said:
            code = step.run_to(said, ["nice", "-n", "19", *command], MUXSOCKS_PROGRESS_SECONDS="86400")
            said.seek(0)
            print(said.read().decode(errors="replace"), end="", flush=True)
    return step.report(Counts(failed=int(code != 0)), tail=0)


def wait_for_build(preset, building):
    """What came of a build; until it has ended, a line now and then says how far it is."""
    while True:
        try:
            return building.result(timeout=30)
        except concurrent.futures.TimeoutError:
            log = LOGS / f"{preset}-build.log"
            done = re.findall(r"^\[\d+/\d+\]", log.read_text(errors="replace"), re.MULTILINE) \
                if log.exists() else []
            print(f"    {preset}: {done[-1] if done else 'its build has not begun'}", flush=True)


# Tests


def without_address_randomisation():
    """A prefix for ThreadSanitizer, whose older versions fail where the kernel randomises more
    address bits than they know; empty where the prefix is not permitted."""
    prefix = ["setarch", "-R"]
    works = subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL, check=False)
    return prefix if works.returncode == 0 else []


def prefix_of(preset):
    return without_address_randomisation() if preset == "tsan" else []


def ctest_counts(report):
    """The counts of a JUnit file that ctest wrote; None without one."""
    if not report.exists():
        return None
    suite = xml.parse(report).getroot()
    number = {key: int(suite.get(key)) for key in ("tests", "failures", "disabled", "skipped")}
    skipped = number["disabled"] + number["skipped"]
    # A program that is not there is a skipped test to ctest, and a failure to us.
    lost = len(suite.findall("testcase[@status='notrun']"))
    failed = number["failures"] + lost
    return Counts(number["tests"] - number["failures"] - skipped, failed, skipped - lost)


def once_more(step, first, failed_before, again):
    """The counts of a step of which few tests failed, after these were run once more, one by one and
    with nothing of theirs beside them: one that passes then counts as passed, and is named in the
    report. What a sanitizer found fails at once. `failed_before` are names, `again` runs them and
    gives counts and the names that failed."""
    if not 0 < len(failed_before) == first.failed <= MOST_AGAIN or re.search(SANITIZER, step.text()):
        return first
    print(*step.text().splitlines()[-TAIL:], sep="\n", flush=True)
    second, failed = again()
    if second.passed + second.failed != len(failed_before):
        return first
    step.reason += "".join(f"; failed once, then passed alone: {name}"
                           for name in sorted(failed_before - failed))
    return first + Counts(passed=second.passed, failed=-second.passed)


def ctest_failed(report):
    """The names of the tests that failed, by a JUnit file that ctest wrote; none without one."""
    if not report.exists():
        return set()
    return {case.get("name") for case in xml.parse(report).iter("testcase")
            if case.get("status") == "fail"}


def run_ctest(preset, label, jobs):
    """Runs a preset's tests with the label."""
    step = Step(preset, label)
    # A label of its own makes no test disappear: what is nothing else is a unit test.
    chosen = ["-LE", "^(simulation|fuzz)$"] if label == "unit" else ["-L", f"^{label}$"]
    report = step.log.with_suffix(".xml")

    def once(*more):
        report.unlink(missing_ok=True)
        code = step.run([*prefix_of(preset), "ctest", "--test-dir", f"build/{preset}", *chosen,
                         "--output-on-failure", "--output-junit", report, "--no-tests=error",
                         *more], **SANITIZER_OPTIONS)
        counts = ctest_counts(report)
        if counts is None or (code != 0 and counts.failed == 0):
            counts = (counts or Counts()) + Counts(failed=1)
        return counts, ctest_failed(report)

    counts, failed = once("-j", str(jobs))
    if label == "unit":
        counts = once_more(step, counts, failed, lambda: once("--rerun-failed", "-j", "1"))
    return step.report(counts)


def pytest_counts(report):
    """The counts of a JUnit file that pytest wrote; None without one."""
    if not report.exists():
        return None
    suite = xml.parse(report).getroot().find("testsuite")
    number = {key: int(suite.get(key)) for key in ("tests", "errors", "failures", "skipped")}
    failed = number["errors"] + number["failures"]
    return Counts(number["tests"] - failed - number["skipped"], failed, number["skipped"])


def failed_tests(report):
    """The names of the tests that failed, by a JUnit file that pytest wrote; none without one."""
    if not report.exists():
        return set()
    return {f"{case.get('classname')}.{case.get('name')}"
            for case in xml.parse(report).iter("testcase")
            if case.find("failure") is not None or case.find("error") is not None}


def skip_reasons(text):
    reasons = collections.Counter()
    for number, reason in re.findall(r"^SKIPPED \[(\d+)\] \S+ (.*)$", text, re.MULTILINE):
        reasons[reason.removeprefix("skipped: ")] += int(number)
    return "; ".join(f"{reason} ({number})" for reason, number in reasons.items())


def run_pytest(preset, label, folder, *options):
    """Runs a folder's tests, those that failed once more."""
    step = Step(preset, label)
    report = step.log.with_suffix(".xml")
    cache = step.log.with_suffix(".cache")
    shutil.rmtree(cache, ignore_errors=True)

    def once(*more):
        report.unlink(missing_ok=True)
        code = step.run([*prefix_of(preset), sys.executable, "-m", "pytest", "-rs", "--tb=short",
                         # By hand, without this, no cache is left in the tree.
                         "-o", "addopts=--strict-markers", "-o", f"cache_dir={cache}",
                         f"--junitxml={report}", *more, folder],
                        MUXSOCKS_BUILD=str(ROOT / "build" / preset), **SANITIZER_OPTIONS)
        counts = pytest_counts(report)
        if counts is None or (code != 0 and counts.failed == 0):
            counts = (counts or Counts()) + Counts(failed=1)
        return counts, failed_tests(report)

    counts, failed = once(*options)
    step.reason = skip_reasons(step.text())
    counts = once_more(step, counts, failed,
                       lambda: once("--last-failed", "--last-failed-no-failures=none"))
    return step.report(counts)


def run_format():
    step = Step("-", "format")
    code = step.run(["scripts/check-format"])
    if code == 77:
        step.reason = step.text().splitlines()[-1].partition(": ")[2]
        return step.report(Counts(skipped=1))
    return step.report(Counts(passed=int(code == 0), failed=int(code != 0)))


def run_benchmarks(preset, label):
    """The short form of the comparison. It fails on wrong bytes, never on time."""
    step = Step(preset, label)
    code = step.run([sys.executable, "benchmarks/compare", "--quick", "--yes", "--peers",
                     BENCHMARK_PEERS, "--build", f"build/{preset}", "--output",
                     LOGS / f"{preset}-{label}"])
    return step.report(Counts(passed=int(code == 0), failed=int(code != 0)))


def side_by_side():
    """Options with which pytest runs the system tests beside each other: they mostly wait."""
    if not importlib.util.find_spec("xdist"):
        return []
    return ["-n", str(max(3, min(2 * (os.cpu_count() or 1) + 1, MOST_BESIDE)))]


def run_label(preset, label, arguments):
    if label == "benchmarks":
        return run_benchmarks(preset, label)
    if label in CTEST_LABELS:
        return run_ctest(preset, label, arguments.jobs)
    left_out = ["not slow"] if arguments.quick or preset in SANITIZERS else []
    left_out += ["not once"] if preset in SANITIZERS else []
    return run_pytest(preset, label, "tests/system", *side_by_side(),
                      *(["-m", " and ".join(left_out)] if left_out else []))


# The command line


def parse(words):
    parser = argparse.ArgumentParser(prog="scripts/test", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="no sanitizers, no fuzzing, no containers, no system tests marked slow")
    parser.add_argument("--only", action="append", choices=LABELS, metavar="LABEL",
                        help=f"only tests with this label, one of: {', '.join(LABELS)}")
    parser.add_argument("--preset", action="append", choices=[*PLAN, *OTHERS], metavar="PRESET",
                        help=f"only this preset, one of: {', '.join([*PLAN, *OTHERS])}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="default: all cores")
    return parser.parse_args(words)


def plan_of(arguments):
    """Preset -> labels to run, after all options."""
    plan = QUICK if arguments.quick and not arguments.preset else {**PLAN, **OTHERS}
    presets = arguments.preset or list(QUICK if arguments.quick else PLAN)
    chosen = arguments.only or LABELS
    plan = {preset: [label for label in plan[preset] if label in chosen] for preset in presets}
    return {preset: labels for preset, labels in plan.items() if labels}


def main():
    arguments = parse(sys.argv[1:])
    LOGS.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    chosen = arguments.only or (() if arguments.preset else LABELS)
    total = Counts()
    if "format" in chosen:
        total += run_format()
    if "tree" in chosen:
        total += run_pytest("-", "tree", "tests/tree")
    plan = plan_of(arguments)
    beside = concurrent.futures.ThreadPoolExecutor(1)
    builder = concurrent.futures.ThreadPoolExecutor(1)
    try:
        docker = None
        if "docker" in chosen and (arguments.only or not arguments.quick):
            docker = beside.submit(run_pytest, "-", "docker", "tests/docker")
        builds = {preset: builder.submit(build, preset, arguments.jobs, beside=number > 0)
                  for number, preset in enumerate(plan)}
        for number, (preset, labels) in enumerate(plan.items()):
            built = wait_for_build(preset, builds[preset]) if number else builds[preset].result()
            total += built
            if built.failed == 0:
                for label in labels:
                    total += run_label(preset, label, arguments)
        if docker:
            total += docker.result()
    finally:
        # After a failure or Ctrl-C nothing more begins.
        for each in (builder, beside):
            each.shutdown(cancel_futures=True)
    print(f"{time.monotonic() - begun:.0f} s in all")
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
