"""Firefox without a head, asked over Marionette, the protocol of its own that drivers speak to it."""

import base64
import json
import os
import shutil
import socket
import subprocess

from . import deadline, programs

PROGRAM = shutil.which("firefox-esr") or shutil.which("firefox")
# No word to the world outside, and no first-run page.
PREFERENCES = {
    "app.normandy.enabled": False, "app.update.disabledForTesting": True,
    "browser.safebrowsing.malware.enabled": False, "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False, "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0, "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


class Browser:
    """One page. Use it with `with`."""

    def __init__(self, folder):
        profile = folder / "firefox"
        profile.mkdir()
        port = programs.free_port()
        lines = {**PREFERENCES, "marionette.port": port}
        (profile / "user.js").write_text("".join(
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in lines.items()))
        self._number = 0
        self._log = open(folder / "firefox.log", "wb")
        self.process = subprocess.Popen(
            [PROGRAM, "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
            env={**os.environ, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True)
        try:
            self._connection = deadline.wait_until(lambda: self._connect(port), 90, "Firefox to answer")
            self._buffer = b""
            self._receive()
            self.call("WebDriver:NewSession")
        except BaseException:
            self.__exit__()
            raise

    def _connect(self, port):
        assert self.process.poll() is None, f"Firefox has ended with {self.process.returncode}"
        try:
            return socket.create_connection(("127.0.0.1", port), deadline.seconds(120))
        except OSError:
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, 9)
        self.process.wait(timeout=10)
        self._log.close()

    def open(self, url):
        """Does not wait until it is loaded: it never ends to load."""
        self.call("WebDriver:SetTimeouts", pageLoad=60_000, script=60_000)
        self.call("WebDriver:Navigate", url=url)

    def evaluate(self, expression):
        return self.call("WebDriver:ExecuteScript", script=f"return {expression};", args=[])["value"]

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent")

    def screenshot(self, path, width, height):
        self.call("WebDriver:SetWindowRect", width=width, height=height)
        path.write_bytes(base64.b64decode(
            self.call("WebDriver:TakeScreenshot", full=False)["value"]))

    def call(self, method, **parameters):
        self._number += 1
        text = json.dumps([0, self._number, method, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(text), text))
        while True:
            answer = self._receive()
            if isinstance(answer, list) and answer[1] == self._number:
                if answer[2]:
                    raise AssertionError(f"{method}: {answer[2]}")
                return answer[3] or {}

    def _receive(self):
        while b":" not in self._buffer:
            self._more()
        length, _, self._buffer = self._buffer.partition(b":")
        while len(self._buffer) < int(length):
            self._more()
        text, self._buffer = self._buffer[:int(length)], self._buffer[int(length):]
        return json.loads(text)

    def _more(self):
        part = self._connection.recv(1 << 16)
        if not part:
            raise AssertionError("Firefox has ended")
        self._buffer += part
