"""A browser: a page whose parts lie on hosts that only the server can resolve."""

import os
import re
import shutil
import socket

import pytest

from support import deadline, programs

PARTS = 24
HEADLESS = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--proxy-bypass-list=<-loopback>"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_chromium_loads_a_page_with_all_its_parts(pair, website, dns, folder):
    site = website()
    hosts = [f"part{number}.muxsocks.test" for number in range(PARTS)]
    for host in hosts:
        dns.records[host] = ["127.0.0.1"]
    for number in range(PARTS):
        (site.folder / f"part{number}.js").write_text(f"loaded.push({number});\n")
    scripts = "\n".join(f'<script src="http://{host}:{site.port}/part{number}.js"></script>'
                        for number, host in enumerate(hosts))
    (site.folder / "index.html").write_text(
        f"<!doctype html><title>page</title><script>const loaded = [];</script>\n{scripts}\n"
        '<p id="sum"></p><script>document.getElementById("sum").textContent = '
        '"parts " + loaded.length + " of them distinct " + new Set(loaded).size;</script>\n')
    proxy = pair(server={"dns": {"servers": [dns.address], "prefer": "ipv4"}})
    ended = programs.run(
        [*HEADLESS, f"--user-data-dir={folder}/profile",
         f"--proxy-server=socks5://{proxy.client.address}", "--dump-dom", "--timeout=30000",
         f"http://www.muxsocks.test:{site.port}/index.html"],
        timeout=90, env={**os.environ, "HOME": str(folder)})
    assert f"parts {PARTS} of them distinct {PARTS}" in ended.stdout, ended.stderr[-2000:]
    requested = {path for _, path, _ in site.requests}
    assert {f"/part{number}.js" for number in range(PARTS)} <= requested
    log = proxy.server.log()
    missing = [host for host in ["www.muxsocks.test", *hosts]
               if not re.search(rf"\b{re.escape(host)}\b", log)]
    assert not missing, f"not in the server's log: {missing}"


def documented_policy():
    """The option that README.md gives against WebRTC's way around the proxy."""
    text = (programs.ROOT / "README.md").read_text()
    found = set(re.findall(r"--webrtc-ip-handling-policy=\w+", text))
    assert len(found) == 1
    return found.pop()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("policy", ["none", "documented"])
def test_chromiums_webrtc_goes_around_the_proxy_unless_it_is_told_not_to(pair, website, started,
                                                                         folder, policy):
    """A STUN server here hears of it, or does not until all candidates are gathered."""
    site = website()
    proxy = pair()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun:
        stun.bind(("127.0.0.1", 0))
        stun.setblocking(False)
        (site.folder / "index.html").write_text(f"""<!doctype html><title>page</title><script>
            const link = new RTCPeerConnection({{iceServers: [{{urls: "stun:127.0.0.1:{stun.getsockname()[1]}"}}]}});
            link.createDataChannel("a");
            link.onicecandidate = (event) => {{ if (!event.candidate) fetch("gathered"); }};
            link.createOffer().then((offer) => link.setLocalDescription(offer));</script>""")
        browser = started(
            [*HEADLESS, *([documented_policy()] if policy == "documented" else []),
             f"--user-data-dir={folder}/profile", f"--proxy-server=socks5://{proxy.client.address}",
             f"http://127.0.0.1:{site.port}/index.html"], env={"HOME": str(folder)})

        def heard():
            try:
                return stun.recv(1500)
            except BlockingIOError:
                return None

        def gathered():
            return any(path.endswith("/gathered") for _, path, _ in site.requests)

        if policy == "none":
            deadline.wait_until(heard, 60, "WebRTC to ask the STUN server")
        else:
            deadline.wait_until(gathered, 60, browser.last_words)
            assert heard() is None
        browser.kill()
