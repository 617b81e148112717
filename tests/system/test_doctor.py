"""muxsocks-client doctor names the step that fails and says what to do."""

import os
import re
import shutil
from pathlib import Path

import pytest

from support import muxsocks, programs, servers

STEPS = ["name", "TCP", "TLS", "token", "request"]


def faketime_library():
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return str(found[0]) if found else None


class Findings:
    """What doctor printed: `passed`, a list of steps; `failed`, a step or None; `why`, `advice`."""

    def __init__(self, ended):
        self.text = ended.stdout + ended.stderr
        self.code = ended.returncode
        lines = re.findall(r"^  ok    (\w+) +([\d.]+) ms  .+$", ended.stdout, re.MULTILINE)
        self.passed = [step for step, _ in lines]
        self.times = [float(time) for _, time in lines]
        failure = re.search(r"^  FAIL  (\w+) +(.+)\n +what to do: (.+)$", ended.stdout, re.MULTILINE)
        self.failed, self.why, self.advice = failure.groups() if failure else (None, "", "")


@pytest.fixture
def examine(new_pair, folder):
    """`examine(server=..., client=..., target=...)`: doctor's findings on a client whose server
    runs."""

    def run(target=None, env=None, before=lambda proxy: None, start=True, **options):
        proxy = new_pair(**options)
        if start:
            proxy.start_server()
        before(proxy)
        path = muxsocks.write_config(proxy.folder, "client", proxy.client_settings)
        words = ["--target", target] if target else []
        return Findings(programs.run([programs.binary("muxsocks-client"), "doctor", "-c", path,
                                      *words], env={**os.environ, **(env or {})}))

    return run


def failed_at(found, step, why, advice):
    assert found.failed == step, found.text
    assert found.passed == STEPS[:STEPS.index(step)], found.text
    assert re.search(why, found.why, re.I), found.text
    assert re.search(advice, found.advice, re.I), found.text
    assert found.code == 1


def test_all_is_well(examine, target):
    found = examine()
    assert found.passed == STEPS and found.failed is None and found.code == 0, found.text
    assert all(time < 10_000 for time in found.times)
    found = examine(target=target(servers.echo).address)
    assert found.passed == STEPS and found.code == 0, found.text


def test_a_name_that_does_not_resolve(examine):
    found = examine(client={"server": "no-such-host.muxsocks.invalid:8443"})
    failed_at(found, "name", "name", '"server".*DNS')


def test_a_port_that_is_closed(examine):
    found = examine(start=False)
    failed_at(found, "TCP", "refused", "server running.*port.*firewall")


def test_a_port_that_does_not_speak_tls(examine, target):
    def greet(connection):
        connection.sendall(b"220 mail.example.org ESMTP\r\n")
        connection.recv(1000)

    found = examine(client={"server": target(greet).address}, start=False)
    failed_at(found, "TLS", "not TLS", "tls")


def test_a_wrong_pin(examine, keys):
    found = examine(client={"tls": {"ca": None, "pin_sha256": [keys.other_pin]}})
    failed_at(found, "TLS", "does not match the pin", "pin")


def test_an_authority_that_is_not_trusted(examine, keys):
    found = examine(client={"tls": {"ca": str(keys.other_ca)}})
    failed_at(found, "TLS", "not signed by", "CA")


def test_a_wrong_token(examine):
    found = examine(client={"auth": {"token": "wrong-horse-battery-staple-0123456789"}})
    failed_at(found, "token", "authentication failed", "auth.token.*users")


def test_a_destination_that_the_server_denies(examine, target):
    echo = target(servers.echo)
    found = examine(server={"destinations": {"allow_private": False}}, target=echo.address)
    failed_at(found, "request", "not allowed", "destinations")
    assert echo.accepted == 0


def test_a_target_that_does_not_answer(examine):
    found = examine(target=f"127.0.0.1:{programs.free_port()}")
    failed_at(found, "request", "refused", "target")


@pytest.mark.parametrize("shift, why", [("+366d", "expired"), ("-366d", "not valid before")])
def test_a_clock_that_is_wrong_by_a_year(examine, shift, why):
    library = faketime_library()
    if not library:
        pytest.skip("faketime is not installed")
    if programs.sanitizer():
        pytest.skip("faketime does not get along with sanitizers")
    found = examine(env={"LD_PRELOAD": library, "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                         "DONT_FAKE_MONOTONIC": "1"})
    failed_at(found, "TLS", why, "clock.*renew")


def test_several_servers_are_all_examined(examine, keys):
    def second(proxy):
        good = proxy.client_settings.pop("server")
        bad = f"127.0.0.1:{programs.free_port()}"
        proxy.client_settings["servers"] = [{"address": bad}, {"address": good}]

    found = examine(before=second)
    assert found.failed == "TCP" and found.passed == ["name", *STEPS], found.text
    assert found.code == 0, "one that works is enough"


@pytest.mark.parametrize("words, said", [(["--target", "nowhere"], "example.org:443"),
                                         (["--nonsense"], "nonsense")])
def test_wrong_usage(folder, keys, words, said):
    path = muxsocks.write_config(folder, "client",
                                 muxsocks.client_config(keys, 1080, "127.0.0.1:1"))
    ended = programs.run([programs.binary("muxsocks-client"), "doctor", "-c", path, *words])
    assert ended.returncode == 2 and said in ended.stderr
