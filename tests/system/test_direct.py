"""`direct`: what the client dials itself. The relay's own tests run over it, too, beside a server that
would let none of them through."""

import json
import shutil
import socket
import time

import pytest

from support import deadline, http, muxsocks, programs, servers, socks
from support.deadline import seconds, wait_until
from support.exact import transfers
from support.muxsocks import merge
from support.web import random_file
from test_ends import (  # noqa: F401
    test_a_download_that_was_cut_off_does_not_look_complete, test_a_request_one_byte_at_a_time,
    test_a_reset_while_the_other_side_does_not_read, test_an_application_that_goes_away_with_bytes_unread,
    test_both_sides_close_at_the_same_time, test_bytes_sent_together_with_the_request,
    test_half_closed_streams_end_at_their_timeout, test_idle_streams_end_at_their_timeout,
    test_the_applications_fin_leaves_the_other_direction_open, test_the_applications_reset_ends_a_download,
    test_the_applications_reset_reaches_the_target, test_the_targets_fin_leaves_the_other_direction_open,
    test_the_targets_reset_reaches_the_application)
from test_forwarding import (  # noqa: F401
    test_a_cut_body_is_a_reset, test_a_kept_connection_that_the_server_has_closed_is_replaced,
    test_a_request_whose_body_is_cut_does_not_look_whole, test_a_tunnel_may_follow_on_the_same_connection,
    test_an_answer_that_comes_bit_by_bit_is_passed_on_at_once, test_an_answer_without_a_length_ends_with_its_connection,
    test_an_application_that_half_closes_gets_its_answer, test_an_upgrade_becomes_a_tunnel,
    test_continue_is_passed_on, test_pipelined_requests_are_answered_in_order,
    test_random_exchanges_pass_byte_by_byte, test_requests_to_one_server_share_a_connection_there,
    test_what_is_no_answer)
from test_last_words import (  # noqa: F401
    read_until_reset, send_until_nobody_takes_more, test_the_answer_to_an_upload_that_still_runs, test_the_last_command_before_a_close_with_input_unread,
    test_what_a_target_said_before_its_reset_to_an_application_that_reads_later,
    test_what_an_application_said_before_its_reset_to_a_target_that_reads_later,
    test_words_that_nobody_reads_do_not_hold_up_the_reset_for_ever)
from test_status import ask

EVERYTHING = ["*:1-65535"]


def alone(new_pair, **client):
    """A client whose server is not there."""
    proxy = new_pair(client=client)
    proxy.start_client(wait_for_link=False)
    return proxy


@pytest.fixture
def pair(new_pair):
    def start(client=None, server=None, **options):
        return new_pair(client=merge({"direct": EVERYTHING}, client or {}),
                        server=merge({"destinations": {"allow_private": False}}, server or {}), **options).start()

    return start


def test_no_link_is_needed_for_it(new_pair, target):
    echo = target(servers.echo)
    proxy = alone(new_pair, direct=["127.0.0.0/8", "localhost"])
    for host in ("127.0.0.1", "localhost"):
        with socks.connect(proxy.socks, host, echo.port) as connection:
            connection.sendall(b"near")
            connection.shutdown(socket.SHUT_WR)
            assert servers.read_all(connection) == b"near"
    with http.connect(proxy.socks, f"localhost:{echo.port}") as connection:
        connection.sendall(b"x")
        assert servers.read_exactly(connection, 1) == b"x"
    connection = socks.open_connection(proxy.socks)
    connection.sendall(b"\x04\x01" + echo.port.to_bytes(2, "big") + b"\0\0\0\x01\0localhost\0early")
    assert servers.read_exactly(connection, 2) == b"\0\x5a"
    assert servers.read_exactly(connection, 11)[6:] == b"early"
    connection.close()


def test_the_rest_goes_to_the_server(pair, target):
    echo = target(servers.echo)
    proxy = pair(client={"direct": ["*.localhost", f"*:{echo.port}"]})
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    assert socks.rep_for(proxy.socks, "127.0.0.1", programs.free_port()) == socks.NOT_ALLOWED
    assert len(proxy.server.says("refused with REP 0x02")) == 1


def test_no_look_up_decides(pair, target):
    """The name has an address of the network, and goes to the server all the same."""
    echo = target(servers.echo)
    proxy = pair(client={"direct": ["127.0.0.0/8", "::1"]})
    assert socks.rep_for(proxy.socks, "localhost", echo.port) == socks.NOT_ALLOWED
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    assert socks.rep_for(proxy.socks, "0x7f000001", echo.port) == socks.SUCCEEDED


def test_replies_tell_the_truth(new_pair):
    proxy = alone(new_pair, direct=EVERYTHING)
    nobody = programs.free_port()
    assert socks.rep_for(proxy.socks, "127.0.0.1", nobody) == socks.CONNECTION_REFUSED
    assert socks.rep_for(proxy.socks, "name.invalid", 80) == socks.HOST_UNREACHABLE
    connection, answer = http.ask(proxy.socks, f"CONNECT 127.0.0.1:{nobody} HTTP/1.1\r\n\r\n")
    assert (answer.status, answer.field("Proxy-Status")) == (502, "muxsocks; error=connection_refused")
    assert answer.body == b"The client cannot connect to it: Connection refused.\n"
    connection.close()
    assert http.status(proxy.socks, "GET http://name.invalid/ HTTP/1.1\r\nHost: name.invalid\r\n\r\n") == 504


def test_a_network_without_a_route(new_pair, namespace):
    namespace.ip("route add unreachable 192.0.2.0/24")
    proxy = new_pair(client={"direct": EVERYTHING})
    proxy.start_client(wait_for_link=False, prefix=namespace.prefix)
    with namespace.inside():
        assert socks.rep_for(proxy.socks, "192.0.2.1", 80) == socks.HOST_UNREACHABLE
        assert socks.rep_for(proxy.socks, "198.51.100.1", 80) == socks.NETWORK_UNREACHABLE


def test_what_does_not_answer_ends_at_its_timeout(new_pair):
    proxy = alone(new_pair, direct=EVERYTHING, timeouts={"connect": "300ms"})
    with servers.unanswering() as port:
        assert socks.rep_for(proxy.socks, "127.0.0.1", port) == socks.HOST_UNREACHABLE


def test_an_application_that_goes_away_ends_its_dial(new_pair):
    proxy = alone(new_pair, direct=EVERYTHING, timeouts={"connect": "1h"})
    before = proxy.client.sockets()
    with servers.unanswering() as port:
        for _ in range(10):
            connection = socks.open_connection(proxy.socks)
            socks.negotiate(connection)
            connection.sendall(socks.request_bytes("127.0.0.1", port))
            proxy.client.says("goes direct")
            connection.close()
        wait_until(lambda: proxy.client.sockets() <= before, 10, "the sockets to be closed")


def test_the_clients_own_port_is_no_target(new_pair):
    proxy = alone(new_pair, direct=EVERYTHING)
    assert socks.rep_for(proxy.socks, *proxy.socks) == socks.NOT_ALLOWED
    assert http.status(proxy.socks, f"GET http://{proxy.client.address}/ HTTP/1.1\r\nHost: x\r\n\r\n") == 403


def test_names_are_told(new_pair):
    proxy = alone(new_pair, direct=["localhost"])
    connection, reply = socks.ask(proxy.socks, "localhost", 0, cmd=0xF0)
    assert (reply.rep, reply.bnd_addr) in ((socks.SUCCEEDED, "127.0.0.1"), (socks.SUCCEEDED, "::1"))
    assert connection.recv(1) == b""
    connection.close()
    connection, reply = socks.ask(alone(new_pair, direct=["127.0.0.0/8"]).socks, "127.0.0.1", 0, cmd=0xF1)
    assert (reply.rep, reply.bnd_addr) == (socks.SUCCEEDED, "localhost")
    connection.close()


def test_many_transfers_are_exact(new_pair):
    proxy = alone(new_pair, direct=EVERYTHING, log={"level": "info"})
    found = transfers(socks=proxy.client.address, transfers=60, concurrency=20, up="0-1MiB", down="0-1MiB")
    assert found["right"], found


def test_a_reload_changes_it(new_pair, target):
    echo = target(servers.echo)
    proxy = alone(new_pair, timeouts={"wait": "100ms"})
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
    proxy.client.reload(merge(proxy.client.config, {"direct": ["127.0.0.1"]}))
    proxy.client.says("configuration reloaded")
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED


def test_a_stop_waits_for_it_and_then_resets(new_pair, target):
    hold = target(servers.source)
    proxy = alone(new_pair, direct=EVERYTHING, timeouts={"drain": "200ms"})
    connection = socks.connect(proxy.socks, "127.0.0.1", hold.port)
    servers.read_exactly(connection, 1)
    assert proxy.client.stop() == 0
    with pytest.raises(ConnectionResetError):
        servers.read_all(connection, seconds(10))
    connection.close()


@pytest.mark.slow
def test_last_words_that_have_waited_for_long_get_their_time(pair, target, event):
    """They lie in the client's socket, where the application takes none of them."""
    go_on = event()

    def say_and_reset(connection):
        connection.sendall(bytes(60_000))
        go_on.wait(60)
        servers.reset(connection)

    proxy = pair()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(proxy.socks)
        connection.settimeout(seconds(20))
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes("127.0.0.1", target(say_and_reset).port))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        time.sleep(6)
        go_on.set()
        time.sleep(0.5)
        assert read_until_reset(connection) == (60_000, "a reset")


def test_it_is_counted(new_pair, target, folder):
    echo = target(servers.echo)
    path = folder / "status.sock"
    proxy = alone(new_pair, direct=EVERYTHING, status={"listen": f"unix:{path}"})
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        connection.sendall(b"12345")
        assert servers.read_exactly(connection, 5) == b"12345"
        assert socks.rep_for(proxy.socks, "127.0.0.1", programs.free_port()) == socks.CONNECTION_REFUSED
        shown = json.loads(ask(path, "/v1/status")[2])["direct"]
        assert shown == {"open": 1, "opened": 1, "failed": 1, "bytes_up": 5, "bytes_down": 5}
        text = ask(path, "/metrics")[2]
        assert "muxsocks_direct_connections 1\n" in text
        assert 'muxsocks_direct_connections_total{result="failed"} 1\n' in text
        assert 'muxsocks_direct_bytes_total{direction="up"} 5\n' in text
    wait_until(lambda: json.loads(ask(path, "/v1/status")[2])["direct"]["open"] == 0, 10, "it to be over")


def test_what_waits_when_a_tunnel_begins_is_counted_once(new_pair, target, folder, event):
    """The server has switched before it reads the body, of which the client holds a part."""
    heard, switch, go_on = [], event(), event()

    def serve(connection):
        head = http.read_head(connection)
        switch.wait(60)
        connection.sendall(b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        go_on.wait(60)
        heard.append(len(head) + len(servers.read_all(connection, 60)))

    site = target(serve)
    path = folder / "status.sock"
    proxy = alone(new_pair, direct=EVERYTHING, status={"listen": f"unix:{path}"})
    with socket.create_connection(proxy.socks) as connection:
        connection.sendall(f"POST http://{site.address}/ HTTP/1.1\r\nHost: {site.address}\r\nUpgrade: x\r\n"
                           f"Connection: upgrade\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
        send_until_nobody_takes_more(connection)
        switch.set()
        assert http.read_answer(connection).status == 101
        connection.shutdown(socket.SHUT_WR)
        go_on.set()
        wait_until(lambda: heard, 60, "the server to read all")
    assert json.loads(ask(path, "/v1/status")[2])["direct"]["bytes_up"] == heard[0]


# ---- The same list elsewhere

RULES = ["10.0.0.0/8", "192.0.2.7:8080", "*.corp.example", "one.example", "*:22", "2001:db8::1", "2001:db8:1::/48"]
CASES = {"http://10.1.2.3/": True, "http://11.1.2.3/": False, "http://192.0.2.7:8080/": True, "http://192.0.2.7/": False,
         "https://a.corp.example/": True, "https://CORP.example./": True, "https://corp.example.org/": False,
         "https://one.example/": True, "https://a.one.example/": False, "ssh://any.example:22/": True,
         "https://any.example/": False, "http://[2001:db8::1]/": True, "http://[2001:db8::2]/": False,
         "http://10.1.2.3.example/": False, "https://user@any.example:22/": True}
SCRIPT = """
const isPlainHostName = (host) => !/[.:]/.test(host);
const dnsDomainIs = (host, domain) => host.endsWith(domain);
const number = (text) => text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
const isInNet = (host, net, mask) => ((number(host) & number(mask)) >>> 0) === number(net);
%s
const cases = %s;
const host = (url) => new URL(url.replace(/^ssh/, "http")).hostname;
const raw = (url) => url.split("/")[2].replace(/^.*@/, "").replace(/:[0-9]+$/, "");
console.log(JSON.stringify(cases.map((url) => FindProxyForURL(url, raw(url)) === "DIRECT")));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_the_auto_configuration_says_so(new_pair, folder):
    proxy = alone(new_pair, direct=RULES)
    connection, answer = http.ask(proxy.socks, f"GET /proxy.pac HTTP/1.1\r\nHost: {proxy.client.address}\r\n\r\n")
    connection.close()
    (folder / "pac.js").write_text(SCRIPT % (answer.body.decode(), json.dumps(list(CASES))))
    ended = programs.run(["node", folder / "pac.js"])
    assert dict(zip(CASES, json.loads(ended.stdout or "[]"))) == CASES, ended.stderr


def test_the_shells_variables_say_so(new_pair):
    proxy = alone(new_pair, direct=RULES)
    ended = programs.run([programs.binary("muxsocks-client"), "env", "-c", proxy.client.config_path])
    assert "export no_proxy=localhost,127.0.0.1,::1,.local,10.0.0.0/8,.corp.example,2001:db8::1,2001:db8:1::/48\n" \
        in ended.stdout


@pytest.mark.parametrize("rule,hint", [("*", "around the server"), ("10.0.0.1/8", "10.0.0.0/8"), ("a:b", "a network, a name")])
def test_what_names_nothing_is_refused(new_pair, rule, hint):
    proxy = new_pair(client={"direct": [rule]})
    ended = muxsocks.check("client", proxy.folder, proxy.client_settings)
    assert ended.returncode != 0 and "direct[0]" in ended.stderr and hint in ended.stderr, ended.stderr


def test_curl_by_its_own_list(new_pair, website):
    site = website()
    random_file(site.folder / "file", 1000)
    proxy = alone(new_pair, direct=["127.0.0.0/8"])
    ended = programs.run(["curl", "-sS", "--noproxy", "", "-x", f"http://{proxy.client.address}", "-o", "/dev/null", "-w",
                          "%{http_code}", f"http://127.0.0.1:{site.port}/file"], timeout=deadline.seconds(20))
    assert ended.stdout == "200", ended.stderr
