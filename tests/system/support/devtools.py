"""Chromium without a head, asked over its own debugging pipe: pages that never stop loading."""

import base64
import json
import os
import select
import subprocess
import time

COMMAND = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
           "--no-first-run", "--disable-background-networking", "--disable-component-update",
           "--remote-debugging-pipe"]


class Browser:
    """One page. Use it with `with`; `refused` are the console's lines about what a policy forbids."""

    def __init__(self, folder):
        to_browser, self._output = os.pipe()
        self._input, from_browser = os.pipe()
        self._buffer = b""
        self._number = 0
        self._session = None
        self.refused = []

        def use_pipes():
            # Where the browser expects them, whatever numbers they had.
            first, second = os.dup(to_browser), os.dup(from_browser)
            first, second = _above(first, 5), _above(second, 5)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._log = open(folder / "browser.log", "wb")
        self.process = subprocess.Popen(
            [*COMMAND, f"--user-data-dir={folder}/profile", "about:blank"],
            env={**os.environ, "HOME": str(folder)}, stdin=subprocess.DEVNULL, stdout=self._log,
            stderr=self._log, close_fds=False, preexec_fn=use_pipes, start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, 9)
        self.process.wait(timeout=10)
        os.close(self._output)
        os.close(self._input)
        self._log.close()

    def open(self, url):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Log.enable")
        self.call("Page.enable")
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression,
                         returnByValue=True)["result"].get("value")

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent")

    def screenshot(self, path, width, height, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def call(self, method, timeout=60, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._output, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + timeout
        while True:
            answer = self._receive(limit, method)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            entry = answer.get("params", {}).get("entry", {})
            if entry.get("source") == "security" or "Refused" in entry.get("text", ""):
                self.refused.append(entry["text"])

    def _receive(self, limit, method):
        while b"\0" not in self._buffer:
            left = limit - time.monotonic()
            if left <= 0 or not select.select([self._input], [], [], left)[0]:
                raise AssertionError(f"the browser does not answer {method}")
            part = os.read(self._input, 1 << 16)
            if not part:
                raise AssertionError("the browser has ended")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def _above(descriptor, least):
    while descriptor < least:
        descriptor = os.dup(descriptor)
    return descriptor
