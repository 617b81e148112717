"""Programs that people use, through the proxy."""

import getpass
import shutil
import subprocess

import pytest

from support import deadline, programs, servers, socks
from support.web import random_file, sha256_of

MEGABYTE = 1 << 20


def curl(pair, *arguments, scheme="socks5h", proxy=None, timeout=30):
    proxy = proxy or f"{scheme}://{pair.client.address}"
    return programs.run(["curl", "--silent", "--show-error", "--fail", "--proxy", proxy, *arguments],
                        timeout=timeout)


@pytest.fixture
def named(dns):
    """Settings of a server that asks the tests' own name server."""
    return {"dns": {"servers": [dns.address], "prefer": "ipv4"}}


def test_curl_by_address(pair, website):
    site = website()
    digest = random_file(site.folder / "file", 3 * MEGABYTE)
    proxy = pair()
    fetched = proxy.folder / "fetched"
    ended = curl(proxy, f"http://127.0.0.1:{site.port}/file", "-o", fetched, scheme="socks5")
    assert ended.returncode == 0, ended.stderr
    assert sha256_of(fetched) == digest


def test_curl_by_a_name_that_only_the_server_knows(pair, website, named):
    site = website()
    digest = random_file(site.folder / "file", MEGABYTE)
    proxy = pair(server=named)
    fetched = proxy.folder / "fetched"
    ended = curl(proxy, f"http://www.muxsocks.test:{site.port}/file", "-o", fetched)
    assert ended.returncode == 0, ended.stderr
    assert sha256_of(fetched) == digest
    assert site.requests == [("GET", "/file", f"www.muxsocks.test:{site.port}")]


@pytest.mark.ipv6
def test_curl_over_ipv6_on_both_sides(new_pair, website):
    site = website(host="::1")
    digest = random_file(site.folder / "file", MEGABYTE)
    port = programs.free_port("::1")
    proxy = new_pair(client={"listen": [f"[::1]:{port}"]}).start()
    fetched = proxy.folder / "fetched"
    ended = curl(proxy, f"http://[::1]:{site.port}/file", "-o", fetched,
                 proxy=f"socks5h://[::1]:{port}")
    assert ended.returncode == 0, ended.stderr
    assert sha256_of(fetched) == digest


def test_curl_uploads(pair, website):
    site = website()
    digest = random_file(site.folder / "up", 20 * MEGABYTE)
    proxy = pair()
    ended = curl(proxy, "-T", site.folder / "up", f"http://127.0.0.1:{site.port}/here")
    assert ended.stdout == digest, ended.stderr
    assert site.uploads == [("/here", 20 * MEGABYTE, digest)]


def test_curl_https(pair, website, keys, named):
    site = website(keys=keys)
    digest = random_file(site.folder / "file", 5 * MEGABYTE)
    proxy = pair(server=named)
    fetched = proxy.folder / "fetched"
    ended = curl(proxy, "--cacert", keys.ca, f"https://www.muxsocks.test:{site.port}/file", "-o",
                 fetched)
    assert ended.returncode == 0, ended.stderr
    assert sha256_of(fetched) == digest


def test_curl_says_why_it_failed(pair):
    proxy = pair()
    ended = curl(proxy, f"http://127.0.0.1:{programs.free_port()}/")
    assert ended.returncode == 97, ended.stderr  # CURLE_PROXY
    assert "(5)" in ended.stderr or "refused" in ended.stderr


def test_users_of_the_socks_port(pair, website):
    site = website()
    random_file(site.folder / "file", 1000)
    users = [{"username": "ann", "password": "s3cret: ü"}, {"username": "bob", "password": "x"}]
    proxy = pair(client={"users": users})
    url = f"http://127.0.0.1:{site.port}/file"
    for user in users:
        ended = curl(proxy, "--proxy-user", f"{user['username']}:{user['password']}", url, "-o",
                     "/dev/null")
        assert ended.returncode == 0, ended.stderr
    assert curl(proxy, "--proxy-user", "ann:wrong", url).returncode == 97
    assert curl(proxy, "--proxy-user", "nobody:x", url).returncode == 97
    assert curl(proxy, url).returncode == 97
    assert len(site.requests) == 2


def test_pysocks(pair, website, named):
    import socks as pysocks
    site = website()
    random_file(site.folder / "file", 200_000)
    proxy = pair(server=named)
    connection = pysocks.socksocket()
    connection.set_proxy(pysocks.SOCKS5, *proxy.socks, rdns=True)
    connection.settimeout(deadline.seconds(10))
    connection.connect(("www.muxsocks.test", site.port))
    connection.sendall(b"GET /file HTTP/1.0\r\nHost: www.muxsocks.test\r\nConnection: close\r\n\r\n")
    head, _, body = servers.read_all(connection).partition(b"\r\n\r\n")
    connection.close()
    assert b"200 OK" in head
    assert body == (site.folder / "file").read_bytes()


@pytest.mark.skipif(not shutil.which("proxychains4"), reason="proxychains4 is not installed")
def test_proxychains(pair, website, named):
    site = website()
    digest = random_file(site.folder / "file", MEGABYTE)
    proxy = pair(server=named)
    config = proxy.folder / "proxychains.conf"
    config.write_text(f"strict_chain\nproxy_dns\ntcp_read_time_out 15000\n"
                      f"tcp_connect_time_out 8000\n[ProxyList]\n"
                      f"socks5 {proxy.client.host} {proxy.client.port}\n")
    fetched = proxy.folder / "fetched"
    ended = programs.run(["proxychains4", "-q", "-f", config, "curl", "--silent", "--show-error",
                          f"http://www.muxsocks.test:{site.port}/file", "-o", fetched])
    assert ended.returncode == 0, ended.stderr
    assert sha256_of(fetched) == digest


def test_ssh_through_nc(pair, ssh_server, folder):
    port, options = ssh_server
    proxy = pair()
    random_file(folder / "data", 8 * MEGABYTE)
    with open(folder / "data", "rb") as data, open(folder / "back", "wb") as back:
        ended = subprocess.run(
            ["ssh", *options, "-p", str(port), "-o",
             f"ProxyCommand=nc -X 5 -x {proxy.client.address} %h %p",
             f"{getpass.getuser()}@127.0.0.1", "cat; echo done >&2"],
            stdin=data, stdout=back, stderr=subprocess.PIPE, timeout=deadline.seconds(30))
    assert (ended.returncode, ended.stderr) == (0, b"done\n")
    assert sha256_of(folder / "back") == sha256_of(folder / "data")


def test_one_connection_after_the_other(pair, website):
    site = website()
    (site.folder / "small").write_bytes(b"small")
    proxy = pair()
    url = f"http://127.0.0.1:{site.port}/small"
    for _ in range(20):
        connection = socks.connect(proxy.socks, "127.0.0.1", site.port)
        connection.sendall(b"GET /small HTTP/1.0\r\n\r\n")
        assert servers.read_all(connection).endswith(b"small")
        connection.close()
    assert len(site.requests) == 20
    ended = curl(proxy, *[url] * 10)  # one connection kept alive
    assert ended.stdout == "small" * 10


@pytest.mark.parametrize("other", ["127.0.0.2", pytest.param("::1", marks=pytest.mark.ipv6)])
def test_the_client_listens_on_several_addresses(new_pair, website, other):
    site = website()
    (site.folder / "small").write_bytes(b"small")
    first, second = programs.free_port(), programs.free_port(other)
    bracketed = f"[{other}]" if ":" in other else other
    new_pair(client={"listen": [f"127.0.0.1:{first}", f"{bracketed}:{second}"]}).start()
    for address in (("127.0.0.1", first), (other, second)):
        connection = socks.connect(address, "127.0.0.1", site.port)
        connection.sendall(b"GET /small HTTP/1.0\r\n\r\n")
        assert servers.read_all(connection).endswith(b"small")
        connection.close()
