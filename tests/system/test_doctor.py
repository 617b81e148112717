"""muxsocks-client doctor names the step that fails and says what to do."""

import os
import re
import shutil
from pathlib import Path

import pytest

from support import muxsocks, programs, servers

STEPS = ["name", "TCP", "TLS", "token", "request", "path"]


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
    assert "--target" in re.search(r"^  --    names .*$", found.text, re.M).group()
    found = examine(target=target(servers.echo).address)
    assert found.passed == STEPS and found.code == 0, found.text
    assert " names " not in found.text


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


def wait_for_the_end(connection):
    while connection.recv(65536):
        pass


def test_a_port_that_does_not_answer(examine, target):
    found = examine(client={"server": target(wait_for_the_end).address,
                            "timeouts": {"handshake": "500ms"}}, start=False)
    failed_at(found, "TLS", "no answer within 500ms", "another program.*large packets")


def test_a_wrong_pin(examine, keys):
    found = examine(client={"tls": {"ca": None, "pin_sha256": [keys.other_pin]}})
    failed_at(found, "TLS", "does not match the pin", "pin")


def test_an_authority_that_is_not_trusted(examine, keys):
    found = examine(client={"tls": {"ca": str(keys.other_ca)}})
    failed_at(found, "TLS", "not signed by", "CA")


def test_a_wrong_token(examine):
    found = examine(client={"auth": {"token": "wrong-horse-battery-staple-0123456789"}})
    failed_at(found, "token", "authentication failed", "auth.token.*users")


def test_channel_binding_that_differs(examine):
    for role in ("server", "client"):
        found = examine(**{role: {"tls": {"channel_binding": False}}})
        failed_at(found, "token", "channel", "tls.channel_binding alike")


def test_a_certificate_that_the_server_wants_and_the_client_has_not(examine, keys):
    found = examine(server={"tls": {"client_ca": str(keys.ca)}})
    failed_at(found, "TLS", "certificate", "tls.cert and tls.key.*|tls.client_ca")


def test_a_server_without_tls(examine):
    found = examine(server={"tls": {"enabled": False}})
    failed_at(found, "TLS", "TLS", "tls.enabled alike")


def test_a_client_without_tls(examine):
    found = examine(client={"tls": {"enabled": False}})
    failed_at(found, "token", ".", "tls.enabled alike")


def test_a_running_client_without_tls_says_what_may_be_wrong(new_pair):
    proxy = new_pair(client={"tls": {"enabled": False}})
    proxy.start_server()
    proxy.start_client(wait_for_link=False)
    proxy.client.wait_for_log(r"link to .* failed: .*is tls.enabled false on the server, too\?")


def test_names_that_the_server_cannot_look_up(examine):
    server = None

    def keep(proxy):
        nonlocal server
        server = proxy.server

    dead = f"127.0.0.1:{programs.free_port()}"
    found = examine(server={"dns": {"servers": [dead], "timeout": "1s"}}, before=keep,
                    target="example.org:443")
    failed_at(found, "request", "could not connect to example.org:443", "log at debug.*dns")
    line = server.wait_for_log(r".*a name could not be looked up.*").group()
    assert "warning" in line and dead in line and "dns.servers" in line, line
    assert "example.org" not in line


def test_a_server_that_the_client_cannot_look_up(new_pair, namespace):
    """It says what to look at, and names no key that the client has not."""
    proxy = new_pair(client={"server": "muxsocks.example.org:443"})
    proxy.start_client(wait_for_link=False, prefix=namespace.prefix)
    line = proxy.client.wait_for_log(r"link to .* failed: .*").group()
    assert "/etc/resolv.conf" in line and "dns." not in line, line


def test_a_destination_that_the_server_denies(examine, target):
    echo = target(servers.echo)
    found = examine(server={"destinations": {"allow_private": False}}, target=echo.address)
    failed_at(found, "request", "server refused.*not allowed", "destinations")
    assert echo.accepted == 0


def test_a_target_that_does_not_answer(examine):
    found = examine(target=f"127.0.0.1:{programs.free_port()}")
    failed_at(found, "request", "could not connect to .*refused", "target")


@pytest.mark.parametrize("shift, why", [("+366d", "expired"), ("-366d", "not valid before")])
def test_a_clock_that_is_wrong_by_a_year(examine, shift, why):
    library = faketime_library()
    if not library:
        pytest.skip("faketime is not installed")
    if not programs.takes_preloads():
        pytest.skip("nothing can be loaded in front of these programs")
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
                                         (["--target", "a:70000"], "example.org:443"),
                                         (["--link-file", "-"], "not both"),
                                         (["--nonsense"], "nonsense")])
def test_wrong_usage(folder, keys, words, said):
    path = muxsocks.write_config(folder, "client",
                                 muxsocks.client_config(keys, 1080, "127.0.0.1:1"))
    ended = programs.run([programs.binary("muxsocks-client"), "doctor", "-c", path, *words])
    assert ended.returncode == 2 and said in ended.stderr
