"""The status listener: metrics, health, JSON and the page, and the commands that ask it."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import urllib.parse

import pytest

from support import http, programs, servers, socks
from support.deadline import wait_until
from support.muxsocks import TOKEN, merge, write_config
from support.status import ask, document, metrics

ROLES = ["client", "server"]


@pytest.fixture
def seen(pair, folder):
    """A pair whose programs listen for status on unix sockets: `.status[role]` are their paths."""
    def make(client=None, server=None, **options):
        paths = {role: folder / f"{role}.sock" for role in ROLES}
        proxy = pair(client=merge({"status": {"listen": f"unix:{paths['client']}"}}, client or {}),
                     server=merge({"status": {"listen": f"unix:{paths['server']}"}}, server or {}),
                     **options)
        proxy.status = paths
        return proxy
    return make


def test_all_series_are_there_from_the_first_scrape_on(seen):
    proxy = seen()
    found = {role: metrics(proxy.status[role]) for role in ROLES}
    both = set(found["client"]) & set(found["server"])
    for name in ["muxsocks_link_lost_total{reason=\"reset\"}", "muxsocks_session_resumed_total",
                 "muxsocks_stream_ended_total{reason=\"shed\"}",
                 "muxsocks_bytes_total{direction=\"up\"}", "muxsocks_memory_shed_total",
                 "muxsocks_stream_duration_seconds_bucket{le=\"+Inf\"}"]:
        assert name in both and found["client"][name] == 0
    assert found["client"]['muxsocks_links{state="up"}'] == 1
    assert found["server"]['muxsocks_sessions{state="attached"}'] == 1
    assert found["server"]['muxsocks_user_bytes_total{user="alice",direction="up"}'] == 0
    assert found["client"]["process_resident_memory_bytes"] > 1e6


@pytest.mark.parametrize("role", ROLES)
def test_the_text_is_what_prometheus_reads(seen, role):
    text = ask(seen().status[role], "/metrics")[2]
    if promtool := shutil.which("promtool"):
        ended = subprocess.run([promtool, "check", "metrics"], input=text, text=True,
                               capture_output=True, timeout=30)
        assert ended.returncode == 0 and not ended.stdout + ended.stderr, ended
    typed, helped = {}, set()
    for line in text.splitlines():
        if match := re.fullmatch(r"# HELP (\w+) (.+)", line):
            assert match[1] not in helped
            helped.add(match[1])
        elif match := re.fullmatch(r"# TYPE (\w+) (counter|gauge|histogram)", line):
            typed[match[1]] = match[2]
        else:
            match = re.fullmatch(r"(\w+)(\{(?:\w+=\"[^\"\n]*\",?)+\})? (\S+)", line)
            assert match, line
            float(match[3])
            base = re.sub(r"_(bucket|sum|count)$", "", match[1])
            kind = typed.get(match[1]) or typed[base]
            assert (kind == "counter") == match[1].endswith("_total"), line
    assert set(typed) == helped


def test_streams_bytes_and_replies_are_counted(seen, target):
    proxy = seen()
    echo = target(servers.echo)
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        connection.sendall(b"x" * 1000)
        assert servers.read_exactly(connection, 1000) == b"x" * 1000
        for role in ROLES:
            assert metrics(proxy.status[role])["muxsocks_streams"] == 1
            streams = document(proxy.status[role], "/v1/streams?limit=5")["streams"]
            assert [each["bytes_up"] >= 1000 and each["bytes_down"] >= 1000 for each in streams] == \
                [True]
            assert "destination" not in streams[0]
    for role in ROLES:
        where = proxy.status[role]
        wait_until(lambda: metrics(where)['muxsocks_stream_ended_total{reason="fin"}'] == 1, 10, "the status to show it")
        found = metrics(where)
        assert found["muxsocks_streams"] == 0 and found["muxsocks_streams_opened_total"] == 1
        assert found['muxsocks_bytes_total{direction="up"}'] >= 1000
        assert found['muxsocks_stream_replies_total{rep="0"}'] == 1
        assert found["muxsocks_stream_duration_seconds_count"] == 1


def test_a_cut_link_is_seen(seen, target):
    proxy = seen(relay=[])
    echo = target(servers.echo)
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        proxy.relay.do("cut")
        for role in ROLES:
            where = proxy.status[role]
            wait_until(lambda: metrics(where)["muxsocks_session_resumed_total"] >= 1, 15, "the status to show it")
            found = metrics(where)
            lost = sum(value for name, value in found.items()
                       if name.startswith("muxsocks_link_lost_total"))
            assert lost >= 1 and found["muxsocks_session_detached_seconds_count"] >= 1
        connection.sendall(b"ping")
        assert servers.read_exactly(connection, 4) == b"ping"


def test_log_and_metrics_name_one_reason(seen, target):
    options = {"log": {"level": "debug", "format": "json"}}
    proxy = seen(client=options, server=options)
    echo = target(servers.echo)
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        connection.sendall(b"ping")
        assert servers.read_exactly(connection, 4) == b"ping"
    for of in [proxy.client, proxy.server]:
        where = proxy.status[of.role]
        wait_until(lambda: metrics(where)['muxsocks_stream_ended_total{reason="fin"}'] == 1, 10,
                   "the stream to end")
        of.says(r'"level":"debug","message":"stream .* ended: .*","reason":"fin"\}')
    proxy.server.kill()
    line = json.loads(proxy.client.says(r'^.*"message":"link to .* lost: .*$')[0])
    assert set(line) == {"time", "level", "message", "reason"}
    name = f'muxsocks_link_lost_total{{reason="{line["reason"]}"}}'
    assert metrics(proxy.status["client"])[name] >= 1


def test_a_denied_request_is_counted(seen):
    proxy = seen(server={"destinations": {"allow_private": False}})
    assert socks.rep_for(proxy.socks, "127.0.0.1", 9) == 2
    found = metrics(proxy.status["server"])
    assert found['muxsocks_denied_total{rule="not_public"}'] == 1
    assert sum(value for name, value in found.items()
               if name.startswith("muxsocks_denied_total")) == 1
    assert found['muxsocks_stream_replies_total{rep="2"}'] == 1
    assert metrics(proxy.status["client"])['muxsocks_stream_replies_total{rep="2"}'] == 1


def test_what_a_users_own_rules_refuse_is_counted_as_such(seen):
    proxy = seen(server={"users": [{"name": "alice", "token": TOKEN, "destinations": {
        "allow_private": True, "deny": ["127.0.0.2"], "ports": ["1-65535"]}}]})
    assert socks.rep_for(proxy.socks, "127.0.0.2", 9) == 2
    assert metrics(proxy.status["server"])['muxsocks_denied_total{rule="user"}'] == 1


def test_requests_of_plain_http_are_counted_as_others_are(seen, website):
    site = website()
    (site.folder / "a").write_bytes(b"x" * 1000)
    proxy = seen()
    where = proxy.status["client"]
    connection, answer = http.ask(proxy.socks, f"GET http://127.0.0.1:{site.port}/a HTTP/1.1\r\n\r\n")
    assert answer.status == 200
    found = metrics(where)
    assert found['muxsocks_stream_replies_total{rep="0"}'] == 1
    assert found["muxsocks_stream_duration_seconds_count"] == 0
    [stream] = document(where, "/v1/streams")["streams"]
    assert stream["bytes_down"] >= 1000 and stream["bytes_up"] > 0 and "destination" not in stream
    connection.close()
    wait_until(lambda: metrics(where)['muxsocks_stream_ended_total{reason="fin"}'] == 1, 10,
               "the stream to end")
    assert metrics(where)["muxsocks_stream_duration_seconds_count"] == 1
    free = programs.free_port()
    connection, answer = http.ask(proxy.socks, f"GET http://127.0.0.1:{free}/ HTTP/1.1\r\n\r\n")
    connection.close()
    assert answer.status == 502
    assert metrics(where)['muxsocks_stream_replies_total{rep="5"}'] == 1
    assert metrics(where)["muxsocks_stream_duration_seconds_count"] == 1


def test_a_client_is_ready_as_long_as_its_link_is_up(seen):
    proxy = seen()
    where = proxy.status["client"]
    assert ask(where, "/healthz")[0] == 200
    assert ask(where, "/readyz")[0] == 200
    assert proxy.server.stop() == 0
    wait_until(lambda: ask(where, "/readyz")[0] == 503, 15, "the status to show it")
    assert ask(where, "/healthz")[0] == 200
    wait_until(lambda: any("cannot connect" in each["message"]
                           for each in document(where, "/v1/status")["problems"]), 15,
               "the problem to be shown")


def test_the_socket_is_its_users_alone_and_a_stale_one_is_replaced(seen):
    proxy = seen()
    where = proxy.status["server"]
    assert stat.S_IMODE(os.stat(where).st_mode) == 0o600
    proxy.server.kill()
    assert where.exists()
    proxy.start_server()
    wait_until(lambda: document(where, "/v1/status")["program"] == "muxsocks-server", 10, "the status to show it")
    assert proxy.server.stop() == 0
    assert not where.exists()


def test_a_second_program_leaves_the_default_socket_to_the_first(new_pair, folder):
    proxy = new_pair()
    runtime = folder / "run"
    runtime.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(runtime / "muxsocks-client.sock"))
        other.listen()
        proxy.start_server()
        proxy.start_client(env={"RUNTIME_DIRECTORY": str(runtime)})
        proxy.client.says(r"another program listens there: .*; metrics and status are left out")


def test_the_commands_show_no_other_program_than_that_of_the_configuration(new_pair, folder):
    runtime = folder / "run"
    runtime.mkdir()
    environment = {"RUNTIME_DIRECTORY": str(runtime)}
    first, second = new_pair(), new_pair()
    for proxy in (first, second):
        proxy.start_server(env=environment)
    second.server.says("another program listens there")
    assert "0 streams" in command(first.server, "status", env=environment).stdout
    for words in (["status"], ["streams", "--json"], ["kick", "alice"]):
        shown = command(second.server, *words, env=environment)
        assert shown.returncode == 1 and not shown.stdout, shown
        assert f"it listens on {first.server.address}, and not on {second.server.address}" in \
            shown.stderr and "status.listen" in shown.stderr


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"listen": 7}', b'{"listen": [7]}'])
def test_the_commands_know_what_is_no_muxsocks(new_pair, target, body):
    def answer(connection):
        http.read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)

    other = target(answer)
    proxy = new_pair(server={"status": {"listen": other.address}})
    path = write_config(proxy.folder, "server", proxy.server_settings)
    shown = programs.run([programs.binary("muxsocks-server"), "status", "-c", path], timeout=10)
    assert shown.returncode == 1 and f"what answers at {other.address} is no muxsocks" in shown.stderr, shown


def test_an_error_of_whoever_answers_is_made_safe_for_a_terminal(new_pair, target):
    def answer(connection):
        http.read_head(connection)
        connection.sendall(b"HTTP/1.1 500 \x1b[2J\r\nConnection: close\r\n\r\n\x1b]0;mine\x07\n")

    other = target(answer)
    proxy = new_pair(server={"status": {"listen": other.address}})
    path = write_config(proxy.folder, "server", proxy.server_settings)
    shown = programs.run([programs.binary("muxsocks-server"), "status", "-c", path], timeout=10)
    assert shown.returncode == 1, shown
    assert rf"{other.address} answered 500 \x1b[2J: \x1b]0;mine\x07" in shown.stderr, shown
    assert "\x1b" not in shown.stderr


def test_beyond_loopback_a_token_is_asked_for(pair):
    proxy = pair()
    proxy.server.config_path.write_text(json.dumps(
        merge(proxy.server.config, {"status": {"listen": "0.0.0.0:9180"}})))
    ended = programs.run([programs.binary("muxsocks-server"), "-t", "-c", proxy.server.config_path])
    assert ended.returncode == 23
    assert "status.listen" in ended.stderr and "status.token_file" in ended.stderr


def test_over_tcp_token_host_and_method_are_looked_at(pair, folder):
    port = programs.free_port()
    token = folder / "token"
    token.write_text("Zq8wT3nB5kLm7RxYc2VdHs\n")
    token.chmod(0o600)
    pair(client={"status": {"listen": f"127.0.0.1:{port}", "token_file": str(token),
                            "names": ["status.example"]}})
    bearer = {"Authorization": "Bearer Zq8wT3nB5kLm7RxYc2VdHs"}
    basic = {"Authorization": "Basic " + base64.b64encode(b"me:Zq8wT3nB5kLm7RxYc2VdHs").decode()}
    assert ask(port, "/metrics")[0] == 401
    assert ask(port, "/metrics", Authorization="Bearer wrong")[0] == 401
    assert ask(port, "/metrics", **bearer)[0] == 200
    assert ask(port, "/metrics", **basic)[0] == 200
    assert ask(port, "/metrics", Host="status.example:9", **bearer)[0] == 200
    assert ask(port, "/metrics", Host="evil.example", **bearer)[0] == 403
    assert ask(port, "/v1/users/alice/kick", method="POST", **bearer)[0] == 405
    status, headers, _ = ask(port, "/", **bearer)
    assert status == 200 and "default-src 'self'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


def command(of, *words, env=None):
    return programs.run([programs.binary(f"muxsocks-{of.role}"), *words, "-c", of.config_path],
                        timeout=10, **({"env": {**os.environ, **env}} if env else {}))


def test_the_commands_show_it_in_a_terminal(seen):
    proxy = seen()
    shown = command(proxy.client, "status")
    assert shown.returncode == 0 and "attached" in shown.stdout and "ready" in shown.stdout, shown
    assert "\x1b" not in shown.stdout
    assert json.loads(command(proxy.server, "status", "--json").stdout)["program"] == \
        "muxsocks-server"
    assert "SESSIONS" in command(proxy.server, "users").stdout
    assert "DESTINATION" in command(proxy.server, "streams").stdout
    assert proxy.client.stop() == 0
    ended = command(proxy.client, "status")
    assert ended.returncode == 1 and "status.listen" in ended.stderr


def test_names_of_sessions_are_as_they_are_in_json_and_safe_where_they_are_printed(seen):
    name = 'J\u00f6rg "\\"'
    proxy = seen(server={"users": [{"name": name, "token": TOKEN}]}, client={"auth": {"user": name}})
    (session,) = document(proxy.status["server"], "/v1/sessions")["sessions"]
    assert session["name"] == f"{name}@127.0.0.1"
    safe = r'J\xc3\xb6rg \"\\\"@127.0.0.1'
    assert safe in command(proxy.server, "status").stdout
    proxy.server.send(signal.SIGUSR1)
    proxy.server.says(re.escape(f"session of {safe}: "))


def test_kick_ends_the_sessions_of_a_user_and_bans_nobody(seen, target):
    proxy = seen()
    assert document(proxy.status["server"], "/v1/sessions")["sessions"][0]["user"] == "alice"
    echo = target(servers.echo)
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        shown = command(proxy.server, "kick", "alice")
        assert shown.returncode == 0 and "1 session ended" in shown.stdout, shown
        connection.settimeout(10)
        with pytest.raises(ConnectionError):
            while connection.recv(1000):
                pass
            raise ConnectionError
    wait_until(lambda: ask(proxy.status["client"], "/readyz")[0] == 200, 15, "the status to show it")
    assert "0 sessions ended" in command(proxy.server, "kick", "nobody").stdout


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_prometheus_scrapes_both_programs(pair, folder, target):
    """And its series move when a link is cut, a user denied, and a stream shed."""
    ports = {role: programs.free_port() for role in ROLES}
    proxy = pair(relay=[], client={"status": {"listen": f"127.0.0.1:{ports['client']}"}},
                 server={"status": {"listen": f"127.0.0.1:{ports['server']}"}, "threads": 1,
                         "memory": {"session": "1MiB", "stream_window": "256KiB"},
                         "destinations": {"ports": ["1024-65535"]}})
    may_read = threading.Event()
    mute = target(lambda connection: may_read.wait())
    mute.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    uploads = []
    settings = folder / "prometheus.yml"
    settings.write_text(json.dumps({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": role, "static_configs": [
            {"targets": [f"127.0.0.1:{ports[role]}"]}]} for role in ROLES]}))
    port = programs.free_port()

    def values(expression):
        """By job."""
        try:
            status, _, text = ask(port, "/api/v1/query?query=" + urllib.parse.quote(expression))
        except OSError:
            return {}
        if status != 200:  # It is still getting up.
            return {}
        found = json.loads(text).get("data", {}).get("result", [])
        return {each["metric"]["job"]: float(each["value"][1]) for each in found}

    prometheus = programs.Program(
        ["prometheus", f"--config.file={settings}", f"--storage.tsdb.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}"], folder)
    try:
        wait_until(lambda: values("up") == {"client": 1, "server": 1}, 30, "both to be scraped")
        proxy.relay.do("cut")
        assert socks.rep_for(proxy.socks, "127.0.0.1", 9) == 2
        wait_until(lambda: set(values("muxsocks_session_resumed_total >= 1")) == set(ROLES), 30,
                   "the cut link to be counted")
        wait_until(lambda: values('muxsocks_denied_total{rule="port"}') == {"server": 1}, 30,
                   "the denied request to be counted")
        assert values('muxsocks_denied_total{rule="user"}') == {"server": 0}
        uploads += [socks.connect(proxy.socks, "127.0.0.1", mute.port) for _ in range(16)]
        for each in uploads:
            each.setblocking(False)

        def shed():
            for each in uploads:
                with contextlib.suppress(OSError):
                    each.send(bytes(1 << 16))
            return values("muxsocks_memory_shed_total >= 1").get("server")

        wait_until(shed, 60, "the stream that is shed to be counted")
        wait_until(lambda: values("muxsocks_memory_charged_bytes > 0").get("server"), 30,
                   "what is held to be seen")
    finally:
        may_read.set()
        prometheus.kill()
        for each in uploads:
            each.close()


def names_in(text):
    """The series that expressions name, without what histograms add."""
    return {re.sub(r"_(bucket|sum|count)$", "", name)
            for name in re.findall(r"\b(?:muxsocks|process)_\w+", text)}


def test_documents_rules_and_dashboard_name_the_series_that_there_are(seen):
    proxy = seen()
    there = {line.split()[2] for role in ROLES
             for line in ask(proxy.status[role], "/metrics")[2].splitlines()
             if line.startswith("# TYPE ")}
    folder = programs.ROOT / "packaging" / "prometheus"
    dashboard = json.loads((folder / "muxsocks.dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert names_in("\n".join(expressions)) <= there
    rules = folder / "muxsocks.rules.yml"
    expressions = re.findall(r"^\s+expr: (.*)$", rules.read_text(), re.MULTILINE)
    assert expressions and names_in("\n".join(expressions)) <= there
    if promtool := shutil.which("promtool"):
        ended = programs.run([promtool, "check", "rules", rules])
        assert ended.returncode == 0, ended
    table = (programs.ROOT / "docs" / "STATUS.md").read_text().split("## Metrics")[1].split("\n## ")[0]
    named = {("" if name.startswith("process_") else "muxsocks_") + name
             for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
             for name in re.findall(r"`(\w+)`", cell)}
    named |= set(re.findall(r"`(process_\w+)`", table))
    assert named == there
