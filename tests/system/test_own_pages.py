"""What the client's port says of itself: /proxy.pac, a page, and `muxsocks-client env`."""

import os
import shutil
import socket
import subprocess

import pytest

from support import deadline, http, muxsocks, programs, servers
from support.web import random_file


def page(proxy, path, host=None, fields="", method="GET"):
    connection, answer = http.ask(
        proxy.socks, f"{method} {path} HTTP/1.1\r\nHost: {host or proxy.client.address}\r\n{fields}\r\n")
    connection.close()
    return answer


@pytest.mark.parametrize("path", ["/proxy.pac", "/wpad.dat"])
def test_the_auto_configuration(pair, path):
    proxy = pair()
    answer = page(proxy, path)
    assert answer.status == 200
    assert answer.field("Content-Type") == "application/x-ns-proxy-autoconfig"
    assert answer.field("Cache-Control") == "no-cache"
    at = proxy.client.address
    assert f'return "PROXY {at}; SOCKS5 {at}; SOCKS {at}";' in answer.body.decode()
    assert "DIRECT\";" in answer.body.decode() and "; DIRECT" not in answer.body.decode()


def test_it_names_what_the_browser_has_asked_or_what_is_configured(pair):
    proxy = pair()
    port = proxy.client.port
    assert f"PROXY localhost:{port};" in page(proxy, "/proxy.pac", f"localhost:{port}").body.decode()
    proxy = pair(client={"pac": {"host": "proxy.example.org:3128"}})
    for host in (f"127.0.0.1:{proxy.client.port}", "proxy.example.org:3128"):
        assert "PROXY proxy.example.org:3128;" in page(proxy, "/proxy.pac", host).body.decode()


def test_it_names_what_is_accepted_only(pair):
    port = programs.free_port()
    proxy = pair(client={"listen": [f"127.0.0.1:{port}"]})
    config = muxsocks.merge(proxy.client.config, {"listen": [
        {"address": f"127.0.0.1:{port}", "accept": ["http"]}]})
    proxy.client.reload(config)
    proxy.client.wait_for_log("configuration reloaded")
    assert f'return "PROXY 127.0.0.1:{port}";' in page(proxy, "/proxy.pac").body.decode()


def test_the_page_tells_of_the_link(pair):
    proxy = pair()
    answer = page(proxy, "/")
    assert answer.status == 200 and answer.field("Content-Type") == "text/html; charset=utf-8"
    assert ": up, " in answer.body.decode()
    with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
        connection.sendall(f"HEAD / HTTP/1.1\r\nHost: {proxy.client.address}\r\n\r\n".encode())
        assert http.read_head(connection).startswith("HTTP/1.1 200 ")
        assert connection.recv(1) == b""


@pytest.mark.parametrize("host", ["evil.example", "evil.example:1080", "127.0.0.1.evil.example", "", "@"])
def test_a_name_that_leads_here_by_others_dns_gets_nothing(pair, host):
    proxy = pair()
    for path in ("/", "/proxy.pac"):
        assert page(proxy, path, host or " ").status == 400


@pytest.mark.parametrize("fields,status", [
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n", 403),
    ("Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n", 403),
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n", 403),
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 200),
    ("Sec-Fetch-Site: none\r\n", 200)])
def test_other_sites_do_not_get_to_see_it(pair, fields, status):
    answer = page(pair(), "/proxy.pac", fields=fields)
    assert answer.status == status
    assert answer.field("Access-Control-Allow-Origin") is None


def test_other_paths_and_methods(pair):
    proxy = pair()
    assert page(proxy, "/other").status == 400
    assert page(proxy, "/", method="POST").status == 400
    assert page(proxy, "*", method="OPTIONS").status == 400


def test_env_is_what_a_shell_needs(pair, website):
    site = website()
    random_file(site.folder / "file", 1000)
    proxy = pair()
    ended = programs.run([programs.binary("muxsocks-client"), "env", "-c", proxy.client.config_path])
    assert ended.returncode == 0, ended.stderr
    assert f"export http_proxy=http://{proxy.client.address}\n" in ended.stdout
    assert f"export all_proxy=socks5h://{proxy.client.address}\n" in ended.stdout
    assert "HTTP_PROXY" not in ended.stdout
    ended = subprocess.run(
        ["sh", "-c", 'eval "$1"; export no_proxy= NO_PROXY=; exec curl -sS -o /dev/null -w "%{http_code}" '
                     f"http://127.0.0.1:{site.port}/file", "sh", ended.stdout],
        capture_output=True, text=True, timeout=deadline.seconds(20), env={"PATH": os.environ["PATH"]})
    assert ended.stdout == "200", ended.stderr
    assert proxy.client.says("answered with 200")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_chromium_by_the_auto_configuration(pair, website, dns, folder):
    site = website()
    dns.records["other.muxsocks.test"] = ["127.0.0.1"]
    (site.folder / "part.js").write_text("loaded = 'all of it';\n")
    (site.folder / "index.html").write_text(
        f'<!doctype html><title>page</title><script src="http://other.muxsocks.test:{site.port}/part.js">'
        '</script><p id="sum"></p><script>document.getElementById("sum").textContent = loaded;</script>')
    proxy = pair(server={"dns": {"servers": [dns.address], "prefer": "ipv4"}})
    ended = programs.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         f"--user-data-dir={folder}/profile", f"--proxy-pac-url=http://{proxy.client.address}/proxy.pac",
         "--dump-dom", "--timeout=30000", f"http://www.muxsocks.test:{site.port}/index.html"],
        timeout=90, env={**os.environ, "HOME": str(folder)})
    assert '<p id="sum">all of it</p>' in ended.stdout, ended.stderr[-2000:]
    assert {path for _, path, _ in site.requests} >= {"/index.html", "/part.js"}


def test_a_form_of_a_page_cannot_smuggle_a_request(pair, target):
    """What stands in a body is no request, whatever the browser's Host was."""
    echo = target(servers.echo)
    proxy = pair()
    body = f"CONNECT {echo.address} HTTP/1.1\r\n\r\n"
    for host in (proxy.client.address, "evil.example"):
        with socket.create_connection(proxy.socks, timeout=deadline.seconds(10)) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n"
                               f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            assert servers.read_all(connection).startswith(b"HTTP/1.1 400 ")
    assert echo.accepted == 0
