"""Signals: SIGHUP reloads, SIGUSR1 tells, SIGUSR2 dials anew."""

import shutil
import signal
import socket
import ssl

import pytest

from support import muxsocks, servers, socks
from support.deadline import wait_until


@pytest.fixture
def talking(pair, target):
    """A pair with an open stream; `still_talks()` proves that it was not disturbed."""
    proxy = pair(relay=[])
    proxy.echo = target(servers.echo)
    connection = socks.connect(proxy.socks, "127.0.0.1", proxy.echo.port)

    def still_talks():
        connection.sendall(b"ping")
        assert servers.read_exactly(connection, 4) == b"ping"

    proxy.still_talks = still_talks
    still_talks()
    yield proxy
    connection.close()


@pytest.mark.parametrize("role", ["client", "server"])
def test_statistics(talking, role):
    found = getattr(talking, role).statistics()
    assert (found["streams"], found["opened"], found["links"]) == (1, 1, 1), found
    talking.still_talks()


@pytest.mark.parametrize("role", ["client", "server"])
def test_an_unchanged_reload_disturbs_nobody(talking, role):
    program = getattr(talking, role)
    program.reload(program.config)
    program.wait_for_log(r"reload|configuration")
    talking.still_talks()


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_bad_file_is_refused_and_the_old_one_kept(talking, role):
    program = getattr(talking, role)
    program.reload({**program.config, "no_such_key": 1})
    program.wait_for_log(r"no_such_key")
    talking.still_talks()
    assert socks.rep_for(talking.socks, "127.0.0.1", talking.echo.port) == socks.SUCCEEDED


@pytest.mark.parametrize("role", ["client", "server"])
def test_an_address_that_was_taken_is_tried_again_at_the_next_reload(talking, role):
    program = getattr(talking, role)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        program.reload({**program.config, "listen": f"127.0.0.1:{port}"})
        program.wait_for_log(f"cannot listen on 127.0.0.1:{port}")
    program.reload(program.config)
    wait_until(lambda: muxsocks.listening(program.pid, port), 5, program.log)
    talking.still_talks()


def test_rules_change_with_a_reload(talking):
    rules = {"allow_private": True, "deny": ["127.0.0.0/8"]}
    talking.server.reload({**talking.server.config, "destinations": rules})
    wait_until(lambda: socks.rep_for(talking.socks, "127.0.0.1", talking.echo.port) ==
               socks.NOT_ALLOWED, 5, "the new rules to hold")
    talking.still_talks()


def test_socks_users_change_with_a_reload(talking):
    users = [{"username": "ann", "password": "x"}]
    talking.client.reload({**talking.client.config, "users": users})

    def needs_a_user():
        try:
            socks.ask(talking.socks, "127.0.0.1", talking.echo.port)[0].close()
            return False
        except PermissionError:
            return True

    wait_until(needs_a_user, 5, "users to be needed")
    connection = socks.connect(talking.socks, "127.0.0.1", talking.echo.port, user="ann",
                               password="x")
    connection.close()
    talking.still_talks()


def served_certificate(server):
    """What a new link is shown, as DER."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["muxsocks/2"])
    with socket.create_connection(server.endpoint) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as link:
        return link.getpeercert(binary_form=True)


def test_renewed_certificates_are_read_by_a_reload(talking, keys, folder):
    """The same files with new contents, as certbot leaves them."""
    tls = {"cert": str(folder / "renewed.pem"), "key": str(folder / "renewed.key")}
    server = talking.server
    for cert, key in ((keys.cert, keys.key), (keys.other_cert, keys.other_key)):
        shutil.copy(cert, tls["cert"])
        shutil.copy(key, tls["key"])
        server.reload({**server.config, "tls": tls})
        wanted = ssl.PEM_cert_to_DER_cert(cert.read_text())
        wait_until(lambda: served_certificate(server) == wanted, 5, "the renewed certificate")
        talking.still_talks()
    assert len(talking.client.lines("link to .* is up")) == 1


def test_dialling_anew(talking):
    talking.client.send(signal.SIGUSR2)
    talking.client.wait_for_log(r"link to .* is back")
    assert socks.rep_for(talking.socks, "127.0.0.1", talking.echo.port) == socks.SUCCEEDED


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_broken_pipe_and_a_hangup_do_not_kill(talking, role):
    program = getattr(talking, role)
    program.send(signal.SIGPIPE)
    talking.still_talks()
    assert program.running()


def test_a_client_without_streams_does_not_wait_for_a_server_that_is_gone(new_pair, target):
    pair = new_pair(client={"timeouts": {"drain": "60s"}}).start()
    echo = target(servers.echo)
    with socks.connect(pair.socks, "127.0.0.1", echo.port) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
    wait_until(lambda: pair.client.statistics()["streams"] == 0, 10, "the stream to end")
    pair.server.kill()
    pair.client.wait_for_log("wait to be resumed|link to .* failed")
    # Streams would have 60 s.
    assert pair.client.stop(timeout=8) == 0
