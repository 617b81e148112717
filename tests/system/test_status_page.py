"""The page of the status listener, as people have it: in Chromium and in Firefox."""

import json
import re
import shutil
import time

import pytest

from support import devtools, marionette, programs, servers, socks
from support.deadline import seconds, wait_until
from support.status import ask, document

BROWSERS = {"chromium": devtools.Browser, "firefox": marionette.Browser}
INSTALLED = {"chromium": shutil.which("chromium"), "firefox": marionette.PROGRAM}

pytestmark = pytest.mark.slow


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.skipif(
    not INSTALLED[name], reason=f"{name} is not installed")) for name in BROWSERS])
def browser(request, folder):
    with BROWSERS[request.param](folder) as opened:
        yield opened


@pytest.fixture
def watched(pair):
    """A pair of which the program `role` listens for status on TCP: the pair, and its port."""
    def make(role, **options):
        port = programs.free_port()
        given = options.pop(role, {})
        return pair(**{role: {**given, "status": {"listen": f"127.0.0.1:{port}"}}}, **options), port
    return make


def open_page(browser, port, state):
    browser.open(f"http://127.0.0.1:{port}/")
    wait_until(lambda: browser.text("#state") == state, 30, "the page to be live")


def test_the_page_shows_it_live(watched, browser):
    _, port = watched("server")
    open_page(browser, port, "takes streams")
    assert "alice@127.0.0.1" in browser.text("#links")
    assert "attached" in browser.text("#sessions")
    assert "alice" in browser.text("#users") and "streams" in browser.text("#users")
    first = browser.text("#figures")
    wait_until(lambda: browser.text("#figures") != first, 10, "the page to move")
    assert not getattr(browser, "refused", [])


def test_the_page_shows_a_lost_link(watched, browser):
    proxy, port = watched("client")
    open_page(browser, port, "the link is up")
    proxy.server.kill()
    wait_until(lambda: browser.text("#state") == "no link to the server", 10, "the page to show it")
    assert browser.evaluate("document.querySelector('#advice').hidden") is False
    wait_until(lambda: re.search("link to .* (lost|failed): ", browser.text("#problems")), 30,
               lambda: f"the problem to be shown in {browser.text('#problems')!r}\n{proxy.client.last_words()}")


@pytest.mark.parametrize("role", ["client", "server"])
def test_the_page_shows_a_cut_link_though_another_one_is_up_at_once(watched, browser, role):
    proxy, port = watched(role, relay=[])
    open_page(browser, port, "the link is up" if role == "client" else "takes streams")
    wait_until(lambda: "up, takes" in browser.text("#links"), 10, "the link to be shown")
    assert "ended" not in browser.text("#links")
    proxy.relay.do("cut")
    begin = time.monotonic()
    wait_until(lambda: re.search(r"ended .* ago: \w+", browser.text("#links")), 10,
               "the cut link to be shown")
    # Two seconds on a machine that has nothing else to do.
    assert time.monotonic() - begin < seconds(10)
    wait_until(lambda: "up, takes" in browser.text("#links"), 10, "the next link to be shown")


def test_the_page_stays_quick_beside_10000_streams(watched, browser, started, folder):
    if not (programs.build_folder() / "muxsocks-load").exists():
        pytest.skip("muxsocks-load is not built")
    count = 10_000
    proxy, port = watched("server", server={"limits": {
        "streams": count + 100, "user": {"streams": count + 100, "files": count + 1000}}})
    target = programs.free_port()
    load = [programs.binary("muxsocks-load")]
    started([*load, "target", "--listen", f"127.0.0.1:{target}"]).wait_for_output("listening")
    holding = started([*load, "idle", "--streams", str(count), "--bytes", "64", "--hold", "600",
                       "--socks", proxy.client.address, "--time-limit", "240",
                       "--target", f"127.0.0.1:{target}"])
    open_page(browser, port, "takes streams")

    def streams():
        assert holding.running(), holding.output() + holding.last_words()
        return document(port, "/v1/status")["streams"]

    wait_until(lambda: streams() == count, 120, "all streams to be open")
    wait_until(lambda: f"20 of {count}" in browser.text("#streams-text"), 20, "the page to tell")
    assert browser.evaluate("document.querySelectorAll('#streams tr').length") == 21
    # Whoever draws each second and is asked in between answers at once, or is frozen.
    shown = set()
    begin = time.monotonic()
    while len(shown) < 4:
        asked = time.monotonic()
        shown.add(browser.text("#figures"))
        assert time.monotonic() - asked < seconds(5)
        assert time.monotonic() - begin < seconds(60)
        time.sleep(0.2)
    asked = time.monotonic()
    status, _, text = ask(port, "/v1/streams?limit=10000")
    assert status == 200 and len(json.loads(text)["streams"]) == count
    assert time.monotonic() - asked < seconds(10)
    assert len(document(port, "/v1/streams")["streams"]) == 20


@pytest.mark.once
def test_who_has_the_page_read_out_gets_what_it_shows(watched, browser):
    """Landmarks, tables that say what they are and what their cells belong to, and one live region."""
    _, port = watched("server")
    open_page(browser, port, "takes streams")
    faults = browser.evaluate("""(() => {
        const faults = [], $ = (at, what) => [...at.querySelectorAll(what)];
        if ($(document, "main").length !== 1 || $(document, "header h1").length !== 1) faults.push("landmarks");
        for (const each of $(document, "section"))
            if (!document.getElementById(each.getAttribute("aria-labelledby"))) faults.push("a section without a name");
        for (const each of $(document, "table")) {
            if (!each.caption || !each.caption.textContent) faults.push("a table without a caption");
            if ($(each, "thead th:not([scope=col])").length) faults.push("a column without scope");
            if ($(each, "tbody tr:not([hidden])").some(row => row.cells.length > 1 && row.cells[0].scope !== "row"))
                faults.push("a row without a header");
            if ($(each, "tr:not([role=row]), td:not([role=cell])").length) faults.push("a row or cell without its role");
        }
        for (const each of $(document, "svg"))
            if (!each.getAttribute("aria-label") && !each.getAttribute("aria-labelledby")) faults.push("a chart without text");
        if ($(document, "[aria-live]").length !== 1) faults.push("live regions");
        return faults;
    })()""")
    assert faults == []
    # Rows stay where they are: a reader in the middle of one is not thrown out each second.
    browser.evaluate("document.querySelector('#links tr').setAttribute('data-mark', 'kept')")
    first = browser.text("#figures")
    wait_until(lambda: browser.text("#figures") != first, 10, "the page to move")
    assert browser.evaluate("document.querySelectorAll('#links tr[data-mark=kept]').length") == 1


@pytest.mark.once
def test_the_page_fits_a_phone_and_both_schemes(watched, folder):
    if not shutil.which("chromium"):
        pytest.skip("chromium is not installed")
    _, port = watched("server")
    with devtools.Browser(folder) as browser:
        open_page(browser, port, "takes streams")
        grounds = set()
        for width in (360, 1280):
            for dark in (False, True):
                browser.screenshot(folder / "page.png", width, 800, dark=dark)
                assert browser.evaluate("document.documentElement.scrollWidth") <= width
                grounds.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(grounds) == 2


def test_the_history_has_what_the_charts_show(watched, target):
    proxy, port = watched("client")
    echo = target(servers.echo)
    with socks.connect(proxy.socks, "127.0.0.1", echo.port) as connection:
        connection.sendall(b"x" * 100_000)
        assert len(servers.read_exactly(connection, 100_000)) == 100_000
    past = wait_until(lambda: (found := document(port, "/v1/history"))["up_per_second"] and found, 30,
                      "a step of the history")
    assert past["interval_seconds"] == 10
    [session] = document(port, "/v1/sessions")["sessions"]
    [link] = past["links"]
    assert link["session_id"] == session["id"]
    steps = len(link["sent_per_second"])
    assert all(len(link[name]) == steps for name in
               ("received_per_second", "rtt_seconds", "sent_packets", "retransmits"))
