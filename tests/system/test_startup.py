"""Starting: what is wrong is said in one line, with the exit code that belongs to it."""

import json
import os
import socket

import pytest

from support import muxsocks, programs
from support.deadline import wait_until
from support.muxsocks import TOKEN, check, client_config, merge, server_config

USAGE, BAD_CONFIGURATION, FAILURE = 2, 23, 1
ROLES = ["client", "server"]


@pytest.fixture
def config(keys):
    """The usual configuration of a role, with changes."""

    def make(role, **changes):
        base = client_config(keys, 1080, "127.0.0.1:4433") if role == "client" else \
            server_config(keys, 4433)
        return merge(base, changes)

    return make


@pytest.mark.parametrize("role", ROLES)
def test_a_good_configuration_passes_the_test(folder, config, role):
    ended = check(role, folder, config(role))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("role", ROLES)
def test_comments_are_allowed(folder, config, role):
    text = "// a comment\n/* and\n another */\n" + json.dumps(config(role))
    assert check(role, folder, text).returncode == 0


@pytest.mark.parametrize("role", ROLES)
def test_the_test_warns_of_a_secret_that_everyone_may_read(folder, config, role):
    changed = config(role)
    secret = folder / "token"
    secret.write_text("correct-horse-battery-staple-0123456789\n")
    holder = changed["auth"] if role == "client" else changed["users"][0]
    del holder["token"]
    holder["token_file"] = str(secret)
    for mode, warned in ((0o600, False), (0o644, True)):
        secret.chmod(mode)
        ended = check(role, folder, changed)
        assert ended.returncode == 0, ended.stderr
        assert ("warning" in ended.stderr and "chmod o-r" in ended.stderr) == warned, ended.stderr


CLIENT_REFUSALS = {
    "a missing server": ({"server": None}, ["server"]),
    "an unknown key": ({"sever": "x"}, ["sever"]),
    "an unknown key inside": ({"tls": {"pins": []}}, ["tls.pins"]),
    "a number for a duration": ({"timeouts": {"connect": 5}}, ["timeouts.connect", "5"]),
    "a duration without unit": ({"timeouts": {"connect": "5"}}, ["timeouts.connect", "5"]),
    "a size without sense": ({"memory": {"session": "much"}}, ["memory.session", "much"]),
    "a port out of range": ({"server": "127.0.0.1:70000"}, ["server", "70000"]),
    "an address without port": ({"listen": "127.0.0.1"}, ["listen", "127.0.0.1"]),
    "listening for everyone": ({"listen": "0.0.0.0:1080"}, ["users", "open_listener"]),
    "listening for everyone by port": ({"listen": ":1080"}, ["users", "open_listener"]),
    "no sessions": ({"sessions": 0}, ["sessions", "0"]),
    "a short token": ({"auth": {"token": "short"}}, ["auth.token", "128"]),
    "a certificate that is not there": ({"tls": {"ca": "/nonexistent.pem"}}, ["tls.ca",
                                                                           "/nonexistent.pem"]),
    "a pin that is none": ({"tls": {"pin_sha256": ["abc"]}}, ["tls.pin_sha256[0]", "3 characters"]),
    "a certificate without key": ({"tls": {"cert": "SERVER_CERT"}}, ["tls.cert", "key"]),
    "a log level that is none": ({"log": {"level": "loud"}}, ["log.level", "loud"]),
    "a user without password": ({"users": [{"username": "x"}]}, ["users[0].password"]),
    "a list for a text": ({"auth": {"user": ["alice"]}}, ["auth.user"]),
    "a secret file that is not there": ({"auth": {"token": None, "token_file": "/nonexistent"}},
                                        ["auth.token_file", "/nonexistent"]),
    "an unset variable": ({"auth": {"token": "${MUXSOCKS_TEST_UNSET}"}}, ["auth.token",
                                                                         "MUXSOCKS_TEST_UNSET"]),
}

SERVER_REFUSALS = {
    "nowhere to listen": ({"listen": None}, ["listen"]),
    "no users": ({"users": None}, ["users", "open_server"]),
    "an empty list of users": ({"users": []}, ["users", "open_server"]),
    "no certificate": ({"tls": {"cert": None}}, ["tls.cert"]),
    "no key": ({"tls": {"key": None}}, ["tls.key"]),
    "a user without token": ({"users": [{"name": "x"}]}, ["users[0].token"]),
    "a short token": ({"users": [{"name": "x", "token": "short"}]}, ["users[0].token"]),
    "a user twice": ({"users": [{"name": "x", "token": TOKEN}, {"name": "x", "token": TOKEN[::-1]}]},
                     ["users[1].name", "x"]),
    "a network that is none": ({"destinations": {"deny": ["10.0.0.0/33"]}}, ["destinations.deny[0]",
                                                                           "10.0.0.0/33"]),
    "a name server by name": ({"dns": {"servers": ["dns.example.org:53"]}}, ["dns.servers[0]"]),
    "a family that is none": ({"dns": {"prefer": "ipv5"}}, ["dns.prefer", "ipv5"]),
    "version 1 beside users": ({"allow_v1": ["127.0.0.0/8"]}, ["allow_v1", "client_ca"]),
    "version 1 for the world": ({"allow_v1": ["0.0.0.0/0"]}, ["allow_v1", "everybody"]),
    "a key of the client": ({"server": "127.0.0.1:1"}, ["server"]),
    "a wrong type inside a user": ({"users": [{"name": 7, "token": TOKEN}]}, ["users[0].name"]),
    "ports backwards": ({"destinations": {"ports": ["90-80"]}}, ["destinations.ports[0]", "90-80"]),
}


@pytest.mark.parametrize("what", CLIENT_REFUSALS)
def test_refusals_of_the_client(folder, config, keys, what):
    changes, expected = CLIENT_REFUSALS[what]
    changes = json.loads(json.dumps(changes).replace("SERVER_CERT", str(keys.cert)))
    refused("client", folder, config("client", **changes), expected)


@pytest.mark.parametrize("what", SERVER_REFUSALS)
def test_refusals_of_the_server(folder, config, what):
    changes, expected = SERVER_REFUSALS[what]
    refused("server", folder, config("server", **changes), expected)


def refused(role, folder, config, expected):
    """Both the test of the configuration and the start end with 23 and one line that names the file,
    the key and what is wrong."""
    for arguments in (["-t"], ["-v"]):
        ended = check(role, folder, config, *arguments)
        assert ended.returncode == BAD_CONFIGURATION, (ended.returncode, ended.stderr)
        lines = ended.stderr.strip().splitlines()
        assert len(lines) == 1, ended.stderr
        assert f"{role}" in lines[0] and ".json" in lines[0], lines
        for text in expected:
            assert text in lines[0], lines


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("text, place", [
    ('{\n  "listen" "127.0.0.1:1"\n}', ("2",)),
    ('{\n  "listen": "127.0.0.1:1",\n}', ("3",)),
    ("", ()),
    ("[]", ()),
    ('{"listen": "a"', ()),
])
def test_syntax_errors_name_the_place(folder, role, text, place):
    ended = check(role, folder, text)
    assert ended.returncode == BAD_CONFIGURATION
    assert f"{role}.json" in ended.stderr
    for part in place:
        assert part in ended.stderr
    if place:
        assert "line" in ended.stderr or f":{place[0]}" in ended.stderr


@pytest.mark.parametrize("role", ROLES)
def test_a_file_that_is_not_there(folder, role):
    folder.mkdir(exist_ok=True)
    ended = programs.run([programs.binary(f"muxsocks-{role}"), "-c", folder / "none.json"])
    assert ended.returncode == BAD_CONFIGURATION
    assert "none.json" in ended.stderr


@pytest.mark.parametrize("role", ROLES)
def test_wrong_usage(role):
    for arguments in (["--no-such-option"], ["-c"], ["a", "b"]):
        ended = programs.run([programs.binary(f"muxsocks-{role}"), *arguments])
        assert ended.returncode == USAGE, arguments
        assert "--help" in ended.stderr


@pytest.mark.parametrize("role", ROLES)
def test_help_and_version(role):
    for option in ("-h", "--help"):
        ended = programs.run([programs.binary(f"muxsocks-{role}"), option])
        assert ended.returncode == 0 and "--config" in ended.stdout
    for option in ("-V", "--version"):
        ended = programs.run([programs.binary(f"muxsocks-{role}"), option])
        assert ended.returncode == 0 and "muxsocks" in ended.stdout


@pytest.mark.parametrize("role", ROLES)
def test_a_port_that_is_taken(folder, config, role):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = check(role, folder, config(role, listen=address), "-v")
    assert ended.returncode == FAILURE, ended.stderr
    assert address in ended.stderr


def test_the_configuration_from_standard_input_and_the_environment(folder, config, keys):
    text = json.dumps(config("server"))
    program = programs.binary("muxsocks-server")
    import subprocess
    ended = subprocess.run([program, "-c", "-", "-t"], input=text, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    path = muxsocks.write_config(folder, "server", config("server"))
    ended = programs.run([program, "-t"], cwd="/", env={**os.environ,
                                                       "MUXSOCKS_SERVER_CONFIG": str(path)})
    assert ended.returncode == 0, ended.stderr
    ended = programs.run([program, "-t"], cwd=folder)  # ./server.json
    assert ended.returncode == 0, ended.stderr
    ended = programs.run([program, path, "-t"])
    assert ended.returncode == 0, ended.stderr


def test_the_client_without_a_file(new_pair, folder, keys, target):
    from support import servers, socks
    proxy = new_pair()
    proxy.start_server()
    token = folder / "token"
    token.write_text(muxsocks.TOKEN)
    token.chmod(0o600)
    port = programs.free_port()
    client = programs.Program(
        [programs.binary("muxsocks-client"), "--listen", f"127.0.0.1:{port}", "--server",
         proxy.server.address, "--user", "alice", "--token-file", token, "--ca", keys.ca], folder)
    try:
        client.wait_for_log(muxsocks.LINK_UP)
        echo = target(servers.echo)
        assert socks.rep_for(("127.0.0.1", port), "127.0.0.1", echo.port) == socks.SUCCEEDED
        assert client.stop() == 0
    finally:
        client.kill()


@pytest.mark.parametrize("role, command", [("server", "init --host HOST"),
                                           ("client", "import LINK-FILE")])
def test_without_a_configuration_it_is_said_how_to_make_one(folder, role, command):
    environment = {name: value for name, value in os.environ.items() if "MUXSOCKS" not in name}
    folder.mkdir(exist_ok=True)
    ended = programs.run([programs.binary(f"muxsocks-{role}")], cwd=folder,
                         env={**environment, "HOME": str(folder), "XDG_CONFIG_HOME": ""})
    assert ended.returncode == BAD_CONFIGURATION
    assert f"muxsocks-{role} {command}" in ended.stderr


@pytest.mark.parametrize("role", ROLES)
def test_a_word_that_is_no_file_is_no_command_either(folder, role):
    ended = programs.run([programs.binary(f"muxsocks-{role}"), "start"], cwd="/")
    assert ended.returncode == USAGE and "neither a file nor a command" in ended.stderr
    ended = programs.run([programs.binary(f"muxsocks-{role}"), "-c", "a.json", "health"], cwd="/")
    assert ended.returncode == USAGE and "must come first" in ended.stderr


def test_default_listeners_are_the_two_loopback_addresses(folder, config):
    """Only checked, not started: the default port may be in use."""
    assert check("client", folder, config("client", listen=None)).returncode == 0


@pytest.mark.parametrize("role", ROLES)
def test_closed_standard_descriptors_are_not_taken_by_sockets(folder, config, role, started):
    """Or else what is printed would go to a peer."""
    log = folder / "log"
    port = programs.free_port()
    path = muxsocks.write_config(folder, role, config(role, listen=f"127.0.0.1:{port}",
                                                      log={"file": str(log), "level": "info"}))
    command = f"exec {programs.binary(f'muxsocks-{role}')} -c {path} <&- >&- 2>&-"
    program = started(["sh", "-c", command])
    wait_until(lambda: log.exists() and "listening" in log.read_text(), 10, "it to listen")
    descriptors = program.descriptors()
    assert [descriptors[number] for number in range(3)] == ["/dev/null"] * 3, descriptors
    assert program.stop() == 0
