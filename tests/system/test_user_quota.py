"""How much a user may move (users[].quota), and the file in which that is kept (accounting)."""

import json
import os
import random
import re
import signal
import time

import pytest
from support import http, muxsocks, programs, servers, socks
from support.deadline import wait_until
from support.link_peer import LinkPeer
from support.status import document

TOKENS = {name: f"{name}-has-a-token-of-thirty-two-characters" for name in ("guest", "honest")}
KILLS = 1000 if os.environ.get("MUXSOCKS_LONG") else 8
USED_UP = r"the user's quota of 1MiB.* is used up.* \(users\[\].quota\)"


def users(**quota):
    guest = {"name": "guest", "token": TOKENS["guest"]}
    return [{**guest, "quota": quota} if quota else guest, {"name": "honest", "token": TOKENS["honest"]}]


@pytest.fixture
def metered(new_pair, folder):
    """A server that keeps what its users move, and the client of a guest with this quota.
    `.usage()` is what the file has."""
    def start(every="100ms", env=None, **quota):
        proxy = new_pair(server={"users": users(**quota), "threads": 2, "tls": {"enabled": False},
                                 "status": {"listen": f"unix:{folder}/status.sock"},
                                 "accounting": {"file": f"{folder}/usage.json", "every": every}},
                         client={"tls": {"enabled": False},
                                 "auth": {"user": "guest", "token": TOKENS["guest"]}})
        proxy.start_server(**({"env": env} if env else {}))
        proxy.start_client()
        proxy.usage = lambda: json.loads((folder / "usage.json").read_text())["users"]
        return proxy
    return start


def download(proxy, source, size):
    with socks.connect(proxy.socks, "127.0.0.1", source.port) as connection:
        servers.read_exactly(connection, size, 60)


def total(proxy, name="guest"):
    usage = proxy.usage().get(name)
    return usage["total"]["down"] if usage else 0


def command(proxy, *words):
    return programs.run([programs.binary("muxsocks-server"), *words, "-c", proxy.server.config_path])


def test_what_users_move_is_kept_and_shown(metered, target):
    proxy = metered()
    with socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port) as talk:
        talk.sendall(bytes(100_000))
        servers.read_exactly(talk, 100_000)
        # With a session that still runs.
        wait_until(lambda: total(proxy) >= 100_000, 20, proxy.server.last_words)
    shown = json.loads(command(proxy, "usage", "--json").stdout)
    guest = next(each for each in shown["users"] if each["name"] == "guest")
    assert 100_000 <= guest["total_up"] < 101_000 and 100_000 <= guest["total_down"] < 101_000
    assert guest["per"] == "month" and guest["period_begin"] < time.time() < guest["period_end"]
    assert "quota_bytes" not in guest
    text = command(proxy, "usage").stdout
    assert text.startswith("USER") and "guest" in text and "100.0 kB" in text
    assert proxy.client.stop() == 0 and proxy.server.stop() == 0
    before = proxy.usage()["guest"]
    proxy.start_server()
    proxy.start_client()
    download(proxy, target(servers.source), 1000)
    wait_until(lambda: total(proxy) > before["total"]["down"], 20, proxy.server.last_words)
    assert proxy.usage()["guest"]["since"] == before["since"]


@pytest.mark.slow
def test_a_quota_that_is_used_up(metered, target):
    """Is told, written at once, and ends what runs after a minute; more is given by a reload."""
    source, echo = target(servers.source), target(servers.echo)
    proxy = metered(every="1m", bytes="1MiB")
    talk = socks.connect(proxy.socks, "127.0.0.1", echo.port)
    download(proxy, source, 2 << 20)
    assert proxy.client.says("says: " + USED_UP)
    wait_until(lambda: total(proxy) >= 1 << 20, 10, proxy.server.last_words)
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.NOT_ALLOWED
    connection, answer = http.ask(proxy.socks, f"CONNECT 127.0.0.1:{echo.port} HTTP/1.1\r\n\r\n")
    connection.close()
    assert answer.status == 403 and b"quota of 1MiB a month is used up until 20" in answer.body
    honest = LinkPeer(proxy.server.endpoint, "honest", TOKENS["honest"])
    assert honest.works()
    # So does a new session hear of it.
    second = muxsocks.Muxsocks("client", proxy.folder / "second",
                               {**proxy.client.config, "listen": f"127.0.0.1:{programs.free_port()}"})
    assert second.says("says: " + USED_UP)
    assert second.stop() == 0
    shown = json.loads(command(proxy, "users", "--json").stdout)["users"]
    assert shown[0]["quota_bytes"] == 1 << 20 <= shown[0]["quota_used"]
    talk.sendall(b"x")
    assert servers.read_exactly(talk, 1) == b"x"
    with pytest.raises(ConnectionResetError):
        talk.settimeout(200)
        talk.recv(1)
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.NOT_ALLOWED
    proxy.server.reload({**proxy.server.config, "users": users(bytes="1GiB")})
    assert proxy.server.says("session of guest@.* may go on")
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED


def test_doctor_says_what_the_server_says_once(metered, target):
    proxy = metered(bytes="1MiB")
    download(proxy, target(servers.source), 2 << 20)
    assert proxy.client.says("says: " + USED_UP)
    ended = programs.run([programs.binary("muxsocks-client"), "doctor", "-c", proxy.client.config_path])
    assert ended.returncode == 1 and len(re.findall(USED_UP, ended.stdout)) == 1, ended.stdout
    assert "FAIL  request" in ended.stdout and "says above why: ask who runs it" in ended.stdout, ended.stdout


def test_a_quota_that_makes_slow(metered, target):
    source = target(servers.source)
    proxy = metered(bytes="1MiB", then="slow", rate={"down": "1Mbit"})
    download(proxy, source, 2 << 20)
    assert proxy.client.says("says: " + USED_UP + ": slower from now on")
    begun = time.monotonic()
    download(proxy, source, 250_000)
    assert time.monotonic() - begun > 1


def test_kill_9_loses_what_was_not_due(metered, target):
    """The file is whole each time, and totals never fall."""
    source = target(servers.source)
    proxy = metered()
    kept = 0
    for round_number in range(KILLS):
        download(proxy, source, 300_000)
        if round_number % 2:
            wait_until(lambda: total(proxy) >= kept + 300_000, 20, proxy.server.last_words)
        time.sleep(random.random() / 5)
        proxy.server.kill()
        assert total(proxy) >= kept + (300_000 if round_number % 2 else 0)
        kept = total(proxy)
        proxy.start_server()
        proxy.client.wait_for_log("link to .* is up", count=2 + round_number, timeout=30)
    assert not list(proxy.folder.parent.glob("usage.json.broken*"))


def test_a_take_over_goes_on_counting(metered, target, runtime):
    proxy = metered(every="1m", env={"XDG_RUNTIME_DIR": str(runtime), "RUNTIME_DIRECTORY": ""})
    source = target(servers.source)
    talk = socks.connect(proxy.socks, "127.0.0.1", source.port)
    servers.read_exactly(talk, 1_000_000)
    old = proxy.server
    proxy.start_server(arguments=["--take-over"], wait=False,
                       env={"XDG_RUNTIME_DIR": str(runtime), "RUNTIME_DIRECTORY": ""})
    proxy.server.wait_for_log("has the place of process", timeout=30)
    assert old.wait(20) == 0
    # Not when it is due.
    wait_until(lambda: total(proxy) >= 1_000_000, 20, proxy.server.last_words)
    servers.read_exactly(talk, 5_000_000, 60)
    talk.close()
    assert proxy.client.stop() == 0
    assert proxy.server.stop() == 0
    assert 6_000_000 <= total(proxy)


def test_a_server_that_stops_without_a_folder_keeps_its_port(metered, target):
    """Another one would count in the same file."""
    environment = {"XDG_RUNTIME_DIR": "", "RUNTIME_DIRECTORY": ""}
    proxy = metered(every="1m", env=environment)
    old = proxy.server
    with socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port) as talk:
        old.send(signal.SIGTERM)
        old.says("stopping: ")
        assert proxy.start_server(env=environment, wait=False).wait(10) != 0
        assert proxy.server.says("another program listens there")
        proxy._started.pop()
        talk.sendall(bytes(100_000))
        servers.read_exactly(talk, 100_000)
    assert old.wait(20) == 0
    before = total(proxy)
    assert before >= 100_000
    proxy.start_server(env=environment)
    assert total(proxy) >= before


def test_a_take_over_that_cannot_keep_the_file_leaves_the_sessions(metered, target, runtime, folder):
    environment = {"XDG_RUNTIME_DIR": str(runtime), "RUNTIME_DIRECTORY": ""}
    proxy = metered(env=environment)
    with socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port) as talk:
        config = {**proxy.server.config, "accounting": {"file": f"{folder}/missing/usage.json"}}
        path = muxsocks.write_config(folder, "server", config)
        ended = programs.run([programs.binary("muxsocks-server"), "-c", path, "--take-over"],
                             env={**os.environ, **environment}, timeout=20)
        assert ended.returncode == 23 and "accounting.file: cannot write" in ended.stderr, ended
        assert proxy.server.says("this process goes on")
        talk.sendall(b"still here")
        assert servers.read_exactly(talk, 10) == b"still here"


def test_a_broken_file_is_moved_aside(metered, folder):
    (folder / "usage.json").write_text('{"version": 1, "users": {"guest": {"total"')
    proxy = metered()
    assert proxy.server.says("usage.json is broken, and lies at .*usage.json.broken-1 now")
    assert (folder / "usage.json.broken-1").exists()
    assert total(proxy) == 0


def test_a_full_disk_costs_no_traffic(new_pair, folder, target):
    """What is full here is the most that a file may have."""
    proxy = new_pair(server={"users": users(), "tls": {"enabled": False},
                             "log": {"file": "/dev/null"},
                             "accounting": {"file": f"{folder}/usage.json", "every": "100ms"}},
                     client={"tls": {"enabled": False},
                             "auth": {"user": "guest", "token": TOKENS["guest"]}})
    proxy.start_server(prefix=["prlimit", "--fsize=50:50"], wait=True)
    proxy.start_client()
    for _ in range(3):
        download(proxy, target(servers.source), 1_000_000)
    assert proxy.server.running()


@pytest.fixture
def small_disk(folder):
    """A folder on a disk of 64 KiB."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = programs.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk])
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr}")
    yield disk
    programs.run(["umount", "--lazy", disk])


def test_what_a_full_disk_does_not_take_is_written_later(new_pair, small_disk, folder, target):
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(128 << 10))
    where = folder / "status.sock"
    proxy = new_pair(server={"users": users(), "tls": {"enabled": False},
                             "status": {"listen": f"unix:{where}"},
                             "accounting": {"file": f"{small_disk}/usage.json", "every": "100ms"}},
                     client={"tls": {"enabled": False},
                             "auth": {"user": "guest", "token": TOKENS["guest"]}})
    proxy.start_server()
    proxy.start_client()
    source = target(servers.source)
    download(proxy, source, 1_000_000)
    assert proxy.server.says("accounting.file: cannot write .*: No space left on device")
    download(proxy, source, 1_000_000)
    wait_until(lambda: any(each["total_down"] >= 2_000_000
                           for each in document(where, "/v1/usage")["users"]), 20, "it to be counted")
    # Nothing more comes, and twice a new text is tried beside the filler.
    for _ in range(2):
        before = small_disk.stat().st_mtime_ns
        wait_until(lambda before=before: small_disk.stat().st_mtime_ns > before, 20, "another try")
    filler.unlink()

    def kept():
        path = small_disk / "usage.json"
        return path.exists() and json.loads(path.read_text())["users"]["guest"]["total"]["down"]
    wait_until(lambda: kept() >= 2_000_000, 20, proxy.server.last_words)
    assert [each.name for each in small_disk.iterdir()] == ["usage.json"]


@pytest.mark.parametrize("arguments", [["-t"], ["--log-level", "info"]])
def test_a_quota_needs_accounting(folder, keys, arguments):
    config = {**muxsocks.server_config(keys, programs.free_port()), "users": users(bytes="1GiB")}
    environment = {key: value for key, value in os.environ.items() if key != "STATE_DIRECTORY"}
    path = muxsocks.write_config(folder, "server", config)
    ended = programs.run([programs.binary("muxsocks-server"), "-c", path, *arguments], env=environment)
    assert ended.returncode == 23 and "users[0].quota: nobody would know" in ended.stderr
    if arguments == ["-t"]:
        ended = programs.run([programs.binary("muxsocks-server"), "-c", path, "-t"],
                             env={**environment, "STATE_DIRECTORY": str(folder)})
        assert ended.returncode == 0, ended.stderr


def test_a_reload_begins_no_accounting(new_pair, folder):
    """So it brings no quota either, of which nobody would know what is used up."""
    proxy = new_pair(server={"users": users(), "tls": {"enabled": False}})
    proxy.start_server()
    proxy.server.reload({**proxy.server.config, "users": users(bytes="1GiB"),
                         "accounting": {"file": f"{folder}/usage.json"}})
    assert proxy.server.says(r"reload refused, the old configuration stays: .*users\[0\].quota: .* "
                             "Accounting begins when the server is started anew")


def test_the_users_are_edited_without_accounting(folder, keys):
    config = {**muxsocks.server_config(keys, 1), "users": users(bytes="1GiB")}
    path = muxsocks.write_config(folder, "server", config)
    ended = programs.run([programs.binary("muxsocks-server"), "user", "list", "-c", path])
    assert ended.returncode == 0 and "guest" in ended.stdout
