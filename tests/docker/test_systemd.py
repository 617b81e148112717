"""systemd as the first process of a container, with the packages' units: `apt install` of a newer
package and `systemctl restart` go on while downloads run, and cut nothing.
"""

import json
import re

import pytest

import packaged
from engine import docker, make_base
from support.deadline import wait_until

PORT = 8000
SIZE = 20_000_000
DOWNLOADS = 4
PROXY = "socks5h://127.0.0.1:1080"
SERVICES = ("muxsocks-server", "muxsocks-client")
# A download that goes on, slowly, until it is released.
TARGET = f"""
import http.server, os, time
data = open("/srv/file", "rb").read()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        part = 20_000
        body = data[:10] if self.path == "/short" else data
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for at in range(0, len(body), part):
            while len(body) > 10 and not os.path.exists("/tmp/release"):
                time.sleep(0.02)
                if at + part < len(body): break
            self.wfile.write(body[at:at + part])
http.server.ThreadingHTTPServer(("127.0.0.1", {PORT}), Handler).serve_forever()
"""


def write(container, path, text):
    docker("exec", "-i", container.name, "sh", "-c", f"cat > {path}", text=text)


@pytest.fixture(scope="module")
def machine(packages):
    """Server, client, and a target that serves a file."""
    container = packaged.Container(make_base("bookworm"))
    try:
        packaged.install(container, packages, "curl", "python3", "systemd")
        with packaged.machine_of(container) as made:
            made("muxsocks-server init --host 127.0.0.1:8443 --dir /etc/muxsocks --group muxsocks")
            settings = json.loads(made("cat /etc/muxsocks/server.json"))
            settings["destinations"] = {"allow": ["127.0.0.1"]}
            write(made, "/etc/muxsocks/server.json", json.dumps(settings))
            made(f"head -c {SIZE} /dev/urandom > /srv/file")
            docker("exec", "--detach", made.name, "python3", "-c", TARGET)
            made(f"systemctl restart {' '.join(SERVICES)}")
            yield made
    finally:
        container.remove()


def newer(machine, role):
    """Makes a package of the next version of what is installed; returns its name."""
    version = machine(f"dpkg-query -W -f '${{Version}}' muxsocks-{role}")
    machine(f"rm -rf /tmp/{role} && dpkg-deb -R /packages/muxsocks-{role}_*.deb /tmp/{role} && "
            f"sed -i 's/^Version: .*/Version: {version}+1/' /tmp/{role}/DEBIAN/control && "
            f"dpkg-deb -b /tmp/{role} /tmp/muxsocks-{role}_newer.deb")
    return f"/tmp/muxsocks-{role}_newer.deb", f"{version}+1"


def download(machine, name):
    docker("exec", "--detach", machine.name, "sh", "-c",
           f"curl -sS -x {PROXY} -o /tmp/{name} http://127.0.0.1:{PORT}/file "
           f"2> /tmp/{name}.said; echo $? > /tmp/{name}.code")


def last_words(machine):
    return machine("cat /tmp/*.said; journalctl --no-pager -n 40 -u 'muxsocks-*'")


def size(machine, name):
    return int(machine(f"stat -c %s /tmp/{name} 2>/dev/null || echo 0"))


def test_downloads_go_on_through_an_upgrade_and_restarts(machine):
    names = [f"download{number}" for number in range(DOWNLOADS)]
    for name in names:
        download(machine, name)
    wait_until(lambda: all(size(machine, each) > 1_000_000 for each in names), 30,
               lambda: f"bytes to come: {last_words(machine)}")
    processes = {machine(f"systemctl show -p MainPID --value {each}") for each in SERVICES}
    for role in ("server", "client"):
        package, version = newer(machine, role)
        # The package leaves what runs alone; the restart takes what runs along.
        assert "still runs as it was" in machine(f"apt-get install -y {package} 2>&1")
        assert machine(f"dpkg-query -W -f '${{Version}}' muxsocks-{role}") == version
        for _ in range(3):
            machine(f"systemctl restart muxsocks-{role}")
            process = machine(f"systemctl show -p MainPID --value muxsocks-{role}")
            assert process not in processes
            processes.add(process)
            assert machine(f"curl -sS -x {PROXY} http://127.0.0.1:{PORT}/short | wc -c") == "10"
            assert re.search(r"has the place of the one before, 1 sessions",
                             machine(f"journalctl --no-pager _PID={process}"))
    assert all(0 < size(machine, each) < SIZE for each in names)
    machine("touch /tmp/release")
    wait_until(lambda: machine("ls /tmp/download*.code 2>/dev/null | wc -l") == str(DOWNLOADS), 120,
               "the downloads to end")
    said = machine("cat /tmp/download*.said")
    assert machine("cat /tmp/download*.code").split() == ["0"] * DOWNLOADS, said
    assert machine("cd /tmp; sha256sum " + " ".join(names) + " /srv/file | cut -c1-64 | uniq | "
                   "wc -l") == "1"
    # Nothing is left with the service manager.
    for each in SERVICES:
        assert machine(f"systemctl show -p NFileDescriptorStore --value {each}") == "0"


def test_a_stop_ends_at_once_and_keeps_nothing(machine):
    machine("rm -f /tmp/release")
    download(machine, "cut")
    wait_until(lambda: size(machine, "cut") > 1_000_000, 30,
               lambda: f"bytes to come: {last_words(machine)}")
    machine("systemctl stop muxsocks-server")
    assert machine("systemctl show -p Result --value muxsocks-server") == "success"
    assert machine("systemctl show -p NFileDescriptorStore --value muxsocks-server") == "0"
    machine("systemctl start muxsocks-server; touch /tmp/release")
    wait_until(lambda: machine("cat /tmp/cut.code 2>/dev/null || true") != "", 60, "its end")
    # Reset, and no clean end of a part of it.
    assert machine("cat /tmp/cut.code") != "0"
    assert size(machine, "cut") < SIZE
