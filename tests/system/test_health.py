"""`muxsocks-client health` and `muxsocks-server health`, which container engines call."""

import json
import signal
import time

from support import programs
from support.muxsocks import merge


def health(of, *options):
    """Asks a program that runs, or ran, with the same configuration file."""
    return programs.run([programs.binary(f"muxsocks-{of.role}"), "health", *options, "-c",
                         of.config_path], timeout=10)


def healthy(of):
    ended = health(of)
    assert ended.returncode in (0, 1), ended
    word = "healthy:" if ended.returncode == 0 else "unhealthy:"
    assert ended.stdout.startswith(word) and ended.stdout.count("\n") == 1, ended
    return ended.returncode == 0


def test_a_client_is_healthy_while_its_server_answers(pair):
    proxy = pair()
    assert healthy(proxy.client)
    assert proxy.server.stop() == 0
    assert not healthy(proxy.client)
    assert proxy.client.stop() == 0
    assert "cannot connect" in health(proxy.client).stdout


def test_the_clients_health_needs_no_name_server(pair):
    proxy = pair(server={"dns": {"servers": ["127.0.0.1:9"], "timeout": "1m"}})
    assert healthy(proxy.client)


def test_the_clients_health_logs_in_and_reaches_beyond_rules_for_destinations(pair):
    users = [{"username": "anna", "password": "secret"}]
    proxy = pair(client={"users": users}, server={"destinations": {"ports": [443]}})
    assert healthy(proxy.client)
    file = json.loads(proxy.client.config_path.read_text())
    proxy.client.config_path.write_text(json.dumps(merge(file, {"users": None})))
    assert "users" in health(proxy.client).stdout


def test_the_clients_health_takes_the_clients_options(pair):
    proxy = pair()
    port = programs.free_port()
    ended = health(proxy.client, "--listen", f"127.0.0.1:{port}")
    assert ended.returncode == 1 and str(port) in ended.stdout


def test_a_stalled_server_is_unhealthy_and_makes_its_client_so(pair):
    proxy = pair()
    proxy.server.send(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert not healthy(proxy.client)
        assert not healthy(proxy.server)
        assert time.monotonic() - begun < 8, "each gives up after 3 s"
    finally:
        proxy.server.send(signal.SIGCONT)


def test_a_server_is_healthy_while_it_runs_and_says_nothing_about_it(new_pair):
    proxy = new_pair(server={"log": {"level": "info"}})
    server = proxy.start_server()
    before = server.log()
    for _ in range(20):
        assert healthy(server)
    assert server.log() == before
    assert server.stop() == 0
    assert "cannot connect" in health(server).stdout


def test_a_server_that_wants_more_than_tls_is_healthy(new_pair, keys):
    for settings in ({"tls": {"client_ca": str(keys.client_ca)}},
                     {"tls": {"channel_binding": False}},
                     {"tls": {"cert": str(keys.old_cert)}},
                     {"tls": {"enabled": False, "cert": None, "key": None}},
                     {"proxy_protocol": {"from": ["127.0.0.0/8"]}}):
        server = new_pair(server=settings).start_server()
        assert healthy(server), (settings, server.last_words())


def test_another_server_on_the_port_is_not_healthy(new_pair, keys):
    proxy = new_pair()
    server = proxy.start_server()
    file = json.loads(server.config_path.read_text())
    other = {"tls": {"cert": str(keys.other_cert), "key": str(keys.other_key)}}
    server.config_path.write_text(json.dumps(merge(file, other)))
    assert "pin" in health(server).stdout


def test_help_needs_no_configuration():
    for role in ("client", "server"):
        ended = programs.run([programs.binary(f"muxsocks-{role}"), "health", "--help"])
        assert ended.returncode == 0 and "health" in ended.stdout
