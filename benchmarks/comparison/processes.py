"""Starts and stops the programs of a measurement, each in its namespace, with its log in a file."""

import os
import signal
import subprocess
import time
from pathlib import Path


class ProcessError(Exception):
    """A program did not start or ended by itself; the text has its last words."""


class Process:
    """A running program. It and its children are one process group, ended together."""

    def __init__(self, space, name: str, command: list[str], log: Path,
                 environment: dict[str, str] | None = None):
        self.name = name
        self.log = log
        # nsenter and env replace themselves by the command, so this pid is the program's.
        variables = [f"{key}={value}" for key, value in (environment or {}).items()]
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [*space.prefix, "env", *variables, *command], stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True)

    @property
    def pid(self) -> int:
        return self._child.pid

    def check(self) -> None:
        """Raises when the program has ended."""
        if self._child.poll() is not None:
            raise ProcessError(f"{self.name} ended with status {self._child.returncode}: "
                               f"{self.last_words()}")

    def last_words(self) -> str:
        text = self.log.read_text(errors="replace").strip()
        return text[-600:] if text else "(it wrote nothing)"

    def wait_for_output(self, text: str, seconds: float) -> str:
        """Waits until the program has written `text`, and returns the line with it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.log.read_text(errors="replace").splitlines():
                if text in line:
                    return line
            self.check()
            time.sleep(0.02)
        raise ProcessError(f"{self.name} did not say \"{text}\": {self.last_words()}")

    def stop(self) -> None:
        """At once: nothing of a measurement is worth an orderly end, which some take seconds for."""
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait()
