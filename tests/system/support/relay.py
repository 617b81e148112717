"""muxsocks-relay (tests/tools/relay) as an object: `relay.do("cut")`, `relay.stats()`."""

import json
import socket

from . import programs


class Relay(programs.Program):
    """A relay to `target` (host, port); `commands` are carried out before it accepts."""

    def __init__(self, folder, target, *commands, listen="127.0.0.1:0", seed=1, options=()):
        arguments = [programs.binary("muxsocks-relay"), "--target", f"{target[0]}:{target[1]}",
                     "--listen", listen, "--control", "127.0.0.1:0", "--seed", seed, "--verbose",
                     *options]
        for command in commands:
            arguments += ["--do", command]
        super().__init__(arguments, folder, name="relay")
        started = self.wait_for_output(r"^listen (\S+):(\d+)\ncontrol (\S+):(\d+)\nready$")
        self.host, self.port = started.group(1), int(started.group(2))
        self._control = socket.create_connection((started.group(3), int(started.group(4))))
        self._answers = self._control.makefile("r")

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def do(self, command):
        """Carries out one command; raises if the relay does not take it."""
        self._control.sendall(command.encode() + b"\n")
        answer = self._answers.readline().strip()
        if not answer or answer.startswith("error"):
            raise AssertionError(f"relay, {command}: {answer or 'no answer'}\n{self.log()}")
        return answer

    def stats(self):
        return json.loads(self.do("stats"))

    def stop(self, *arguments, **options):
        self._answers.close()
        self._control.close()
        return super().stop(*arguments, **options)
