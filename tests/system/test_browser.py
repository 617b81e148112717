"""A browser: a page whose parts lie on hosts that only the server can resolve."""

import os
import re
import shutil

import pytest

from support import programs

PARTS = 24


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
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         f"--user-data-dir={folder}/profile", f"--proxy-server=socks5://{proxy.client.address}",
         "--proxy-bypass-list=<-loopback>", "--dump-dom", "--timeout=30000",
         f"http://www.muxsocks.test:{site.port}/index.html"],
        timeout=90, env={**os.environ, "HOME": str(folder)})
    assert f"parts {PARTS} of them distinct {PARTS}" in ended.stdout, ended.stderr[-2000:]
    requested = {path for _, path, _ in site.requests}
    assert {f"/part{number}.js" for number in range(PARTS)} <= requested
    log = proxy.server.log()
    missing = [host for host in ["www.muxsocks.test", *hosts]
               if not re.search(rf"\b{re.escape(host)}\b", log)]
    assert not missing, f"not in the server's log: {missing}"
