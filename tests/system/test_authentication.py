"""Who may not come in does not come in: before any stream, with one line that a person can act on."""

import re
import time

import pytest

from support import muxsocks, servers, socks
from support.deadline import seconds, wait_until

SHORT_WAIT = {"timeouts": {"wait": "500ms"}}


def refused(proxy, target, expected, who="client"):
    """The client gets no link, requests fail with REP 01, no stream reaches the server, and the log
    of `who` has a line that matches `expected` (at warning or error on the client)."""
    echo = target(servers.echo)
    proxy.start_server()
    proxy.start_client(wait_for_link=False)
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
    if who == "client":
        wait_until(lambda: problems(proxy.client, expected), 5,
                   lambda: f"/{expected}/ at warning or error in\n{proxy.client.last_words()}")
    else:
        proxy.server.wait_for_log(expected)
    assert echo.accepted == 0
    assert not proxy.client.lines(muxsocks.LINK_UP), proxy.client.log()
    assert proxy.client.running() and proxy.server.running()


def problems(program, expected):
    return [line for line in program.lines(expected) if re.search(r"warn|error", line, re.I)]


def test_a_wrong_token(new_pair, target):
    proxy = new_pair(client={"auth": {"token": "wrong-horse-battery-staple-0123456789"},
                             **SHORT_WAIT})
    refused(proxy, target, r"auth|token")
    wait_until(lambda: problems(proxy.server, "alice"), 5, proxy.server.log)


WRONG = "wrong-horse-battery-staple-0123456789"


@pytest.mark.parametrize("fault", ["token", "certificate"])
def test_what_does_not_pass_by_itself_is_refused_at_once_until_it_is_mended(new_pair, target, keys,
                                                                          fault):
    proxy = new_pair()
    good = proxy.server_settings
    changes = {"token": {"users": [{"name": "alice", "token": WRONG}]},
               "certificate": {"tls": {"cert": str(keys.other_cert), "key": str(keys.other_key)}}}
    proxy.server_settings = muxsocks.merge(good, changes[fault])
    echo = target(servers.echo)
    proxy.start_server()
    proxy.start_client(wait_for_link=False)
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
    proxy.client.wait_for_log("does not pass by itself")
    for _ in range(5):
        began = time.monotonic()
        assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
        assert time.monotonic() - began < seconds(2)  # And not timeouts.wait, 10 s.
    proxy.server.reload(good)
    proxy.wait_for_link(timeout=45)
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    assert len(proxy.client.lines("does not pass by itself")) == 1


def test_an_unknown_user(new_pair, target):
    proxy = new_pair(client={"auth": {"user": "mallory"}, **SHORT_WAIT})
    refused(proxy, target, r"auth|token|user")
    wait_until(lambda: problems(proxy.server, "mallory"), 5, proxy.server.log)


def test_client_and_server_of_wrong_token_and_unknown_user_look_alike(new_pair, target):
    """The client cannot tell which of the two was wrong."""
    said = []
    for auth in ({"user": "mallory"}, {"token": "wrong-horse-battery-staple-0123456789"}):
        proxy = new_pair(client={"auth": auth, **SHORT_WAIT})
        refused(proxy, target, r"auth|token|user")
        line = problems(proxy.client, r"auth|token|user")[0]
        said.append(re.sub(r"\d[\d.:T-]*Z?|mallory|alice", "", line))
    assert said[0] == said[1]


def test_no_token_at_all(new_pair, target):
    refused(new_pair(client={"auth": None, **SHORT_WAIT}), target, r"auth|token|user")


def test_a_certificate_of_a_stranger(new_pair, target, keys):
    proxy = new_pair(server={"tls": {"cert": str(keys.other_cert), "key": str(keys.other_key)}},
                     client=SHORT_WAIT)
    refused(proxy, target, r"certificate")


def test_an_expired_certificate(new_pair, target, keys):
    proxy = new_pair(server={"tls": {"cert": str(keys.old_cert)}}, client=SHORT_WAIT)
    refused(proxy, target, r"certificate.*expired|expired.*certificate")


def test_a_certificate_of_another_name(new_pair, target):
    proxy = new_pair(client={"tls": {"server_name": "elsewhere.test"}, **SHORT_WAIT})
    refused(proxy, target, r"elsewhere\.test|name")


def test_the_system_store_does_not_know_our_authority(new_pair, target):
    refused(new_pair(client={"tls": {"ca": None}, **SHORT_WAIT}), target, r"certificate")


def test_a_wrong_pin(new_pair, target, keys):
    proxy = new_pair(client={"tls": {"ca": None, "pin_sha256": [keys.other_pin]}, **SHORT_WAIT})
    refused(proxy, target, r"pin")


def test_a_wrong_pin_beside_a_right_authority(new_pair, target, keys):
    proxy = new_pair(client={"tls": {"pin_sha256": [keys.other_pin]}, **SHORT_WAIT})
    refused(proxy, target, r"pin")


def test_a_right_pin_beside_a_wrong_authority(new_pair, target, keys):
    proxy = new_pair(client={"tls": {"ca": str(keys.other_ca), "pin_sha256": [keys.pin]},
                             **SHORT_WAIT})
    refused(proxy, target, r"certificate")


def test_a_plain_client_at_a_tls_server(new_pair, target):
    refused(new_pair(client={"tls": {"enabled": False, "ca": None}, **SHORT_WAIT}), target,
            r"not TLS.*tls\.enabled", who="server")


def test_a_tls_client_at_a_plain_server(new_pair, target):
    proxy = new_pair(server={"tls": {"enabled": False, "cert": None, "key": None}},
                     client=SHORT_WAIT)
    refused(proxy, target, r"tls")


def test_channel_binding_on_one_side_only(new_pair, target):
    proxy = new_pair(client={"tls": {"channel_binding": False}, **SHORT_WAIT})
    refused(proxy, target, r"channel.binding")


def test_no_client_certificate_where_one_is_asked_for(new_pair, target, keys):
    proxy = new_pair(server={"tls": {"client_ca": str(keys.client_ca)}}, client=SHORT_WAIT)
    refused(proxy, target, r"certificate")


def test_a_client_certificate_of_another_authority(new_pair, target, keys):
    proxy = new_pair(server={"tls": {"client_ca": str(keys.client_ca)}},
                     client={"tls": {"cert": str(keys.stranger_cert),
                                     "key": str(keys.stranger_key)}, **SHORT_WAIT})
    refused(proxy, target, r"certificate")


def works(proxy, target):
    echo = target(servers.echo)
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        connection.sendall(b"in")
        assert servers.read_exactly(connection, 2) == b"in"


def mutual_tls(keys):
    return ({"tls": {"client_ca": str(keys.client_ca)}},
            {"tls": {"cert": str(keys.client_cert), "key": str(keys.client_key)}})


def test_mutual_tls_and_a_token(pair, target, keys):
    server, client = mutual_tls(keys)
    works(pair(server=server, client=client), target)


def test_mutual_tls_alone(pair, target, keys):
    server, client = mutual_tls(keys)
    works(pair(server={**server, "users": None}, client={**client, "auth": None}), target)


def test_a_pin_alone_replaces_chain_name_and_dates(pair, target, keys):
    works(pair(server={"tls": {"cert": str(keys.old_cert)}},
               client={"tls": {"ca": None, "server_name": "elsewhere.test",
                               "pin_sha256": [keys.other_pin, keys.pin]}}), target)


def test_without_channel_binding_on_both_sides(pair, target):
    off = {"tls": {"channel_binding": False}}
    works(pair(server=off, client=off), target)


def test_an_open_server(pair, target):
    works(pair(server={"users": None, "open_server": True}, client={"auth": None}), target)


def test_tokens_from_files_environment_and_digests(new_pair, target, folder):
    import hashlib
    token_file = folder / "token"
    token_file.write_text(muxsocks.TOKEN + "\n")
    token_file.chmod(0o600)
    digest = hashlib.sha256(muxsocks.TOKEN.encode()).hexdigest()
    proxy = new_pair(server={"users": [{"name": "alice", "token_sha256": digest}]},
                     client={"auth": {"token": None, "token_file": str(token_file)}}).start()
    works(proxy, target)
    proxy.client.stop()
    proxy.client_settings["auth"] = {"user": "alice", "token": "${MUXSOCKS_TEST_TOKEN}"}
    proxy.start_client(env={"MUXSOCKS_TEST_TOKEN": muxsocks.TOKEN})
    works(proxy, target)


def test_the_token_never_crosses_a_plain_link(new_pair, target):
    """A relay in the middle of a plain link sees all of it; here a target plays it and records."""
    seen = []

    def record(connection):
        import socket
        import threading
        upstream = socket.create_connection(proxy.server_endpoint)

        def up():
            while data := connection.recv(65536):
                seen.append(data)
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)

        threading.Thread(target=up, daemon=True).start()
        while data := upstream.recv(65536):
            seen.append(data)
            connection.sendall(data)

    middle = target(record)
    proxy = new_pair(server={"tls": {"enabled": False, "cert": None, "key": None}},
                     client={"server": middle.address, "tls": {"enabled": False, "ca": None}})
    proxy.start()
    works(proxy, target)
    wire = b"".join(seen)
    assert b"alice" in wire
    assert muxsocks.TOKEN.encode() not in wire


@pytest.mark.parametrize("user, password", [("ann", "wrong"), ("nobody", "pass word"), ("", "")])
def test_wrong_credentials_on_the_socks_port(pair, target, user, password):
    proxy = pair(client={"users": [{"username": "ann", "password": "pass word"}]})
    with pytest.raises(PermissionError):
        socks.ask(proxy.socks, "127.0.0.1", 80, user=user, password=password)
    with pytest.raises(PermissionError):
        socks.ask(proxy.socks, "127.0.0.1", 80)
    echo = target(servers.echo)
    connection = socks.connect(proxy.socks, "127.0.0.1", echo.port, user="ann",
                               password="pass word")
    connection.close()
    wait_until(lambda: echo.accepted == 1, 5, "the right user's connection to arrive")
