"""The .deb packages: built once from the source archive in a container of Debian 12, installed by
apt in bare containers of Debian 12 and 13, checked by lintian and systemd's own tools, run as
services, purged.
"""

import re
import textwrap
import time

import pytest

import packaged
from engine import ROOT, docker, make_base
from packaged import Container
from support import hardening

UNITS = ["muxsocks-server.service", "muxsocks-client.service", "muxsocks-client@.service"]
# Of 10, as `systemd-analyze security` counts.
EXPOSURE_MAX = 2.0


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def debian(request, packages):
    """A container with both packages installed."""
    container = Container(make_base(request.param))
    try:
        packaged.install(container, packages)
        yield container
    finally:
        container.remove()


def test_the_programs_run(debian):
    for role in ("client", "server"):
        assert f"muxsocks-{role}" in debian(f"muxsocks-{role} --version")
        assert debian(f"dpkg-query -W -f '${{db:Status-Status}}' muxsocks-{role}") == "installed"


def test_systemd_finds_no_fault_in_the_units(debian):
    debian("command -v systemd-analyze || apt-get install -y --no-install-recommends systemd")
    for unit in UNITS:
        assert debian(f"systemd-analyze verify --man=no {unit} 2>&1") == ""
    assert debian("XDG_RUNTIME_DIR=/tmp HOME=/root systemd-analyze verify --man=no --user "
                  "muxsocks-client.service 2>&1") == ""


@pytest.mark.parametrize("unit", UNITS)
def test_the_sandbox_leaves_little_exposed(debian, unit):
    said = debian(f"systemd-analyze security --no-pager --offline=yes "
                  f"--threshold={int(EXPOSURE_MAX * 10)} /usr/lib/systemd/system/{unit}")
    exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", said).group(1))
    assert exposure <= EXPOSURE_MAX


def test_a_proxy_from_the_packages_alone(debian):
    """As the units start it: the server as its own user, which reads what init has written."""
    debian("muxsocks-server init --host 127.0.0.1:8443 --dir /etc/muxsocks --group muxsocks")
    assert debian("stat -c '%a %U:%G' /etc/muxsocks/server-key.pem /etc/muxsocks/tls").split("\n") \
        == ["640 root:muxsocks", "750 root:muxsocks"]
    docker("exec", "--detach", "--user", "muxsocks", debian.name, "muxsocks-server", "-c",
           "/etc/muxsocks/server.json")
    assert "ok    request" in debian("for i in 1 2 3 4 5 6 7 8 9 10; do "
                                     "muxsocks-client doctor > /tmp/said && break; sleep 0.5; done; "
                                     "cat /tmp/said")


def test_the_programs_are_hardened(debian, tmp_path):
    for role in ("client", "server"):
        docker("cp", f"{debian.name}:/usr/bin/muxsocks-{role}", tmp_path)
        # The C library's own start-up code, on Debian 12, has no marks of CET.
        assert list(hardening.faults(tmp_path / f"muxsocks-{role}", control_flow=False)) == []


def test_what_long_lines_ask_of_the_kernel_is_there(debian):
    for role in ("client", "server"):
        listed = debian(f"dpkg -L muxsocks-{role}").split("\n")
        assert f"/usr/lib/modules-load.d/muxsocks-{role}.conf" in listed
        settings = debian(f"cat /usr/lib/sysctl.d/20-muxsocks-{role}.conf")
        for name in ("tcp_wmem", "tcp_rmem"):
            assert re.search(rf"^net\.ipv4\.{name} = 4096 \d+ 67108864$", settings, re.MULTILINE)


def test_ca_certificates_are_recommended(debian):
    for role in ("client", "server"):
        assert "ca-certificates" in debian(f"dpkg-query -W -f '${{Recommends}}' muxsocks-{role}")


def test_manual_pages_and_completions_are_there(debian):
    for role in ("client", "server"):
        listed = debian(f"dpkg -L muxsocks-{role}").split("\n")
        for file in (f"man/man1/muxsocks-{role}.1.gz",
                     f"bash-completion/completions/muxsocks-{role}",
                     f"zsh/vendor-completions/_muxsocks-{role}",
                     f"fish/vendor_completions.d/muxsocks-{role}.fish",
                     f"doc/muxsocks-{role}/copyright"):
            assert f"/usr/share/{file}" in listed


@pytest.fixture(scope="module")
def machine(debian):
    """A container of the same with systemd as its first process. The tests use it one after the
    other, and the last one takes the packages off it."""
    with packaged.machine_of(debian) as made:
        yield made


def test_the_services_work_in_their_sandbox(machine):
    machine("muxsocks-server init --host 127.0.0.1:8443 --dir /etc/muxsocks --group muxsocks --force")
    machine("sed 's/^{/{ \"listen\": \"127.0.0.1:1081\",/' /etc/muxsocks/client.json "
            "> /etc/muxsocks/clients/two.json; chmod 600 /etc/muxsocks/clients/two.json")
    services = "muxsocks-server muxsocks-client muxsocks-client@two"
    # Type=notify: a start that has come back has been ready.
    machine(f"systemctl restart {services}")
    for config in ("client.json", "clients/two.json"):
        machine(f"for i in 1 2 3 4 5 6 7 8 9 10; do "
                f"muxsocks-client health -c /etc/muxsocks/{config} && exit; sleep 0.5; done; exit 1")
    machine("systemctl reload muxsocks-server")
    machine("cp /etc/muxsocks/server.json /tmp/good; echo '{' > /etc/muxsocks/server.json; "
            "! systemctl reload muxsocks-server; cp /tmp/good /etc/muxsocks/server.json; "
            "systemctl reload muxsocks-server; muxsocks-client health -c /etc/muxsocks/client.json")
    assert machine("systemctl show -p StatusText --value muxsocks-server") == "serving"
    begun = time.monotonic()
    machine(f"systemctl stop {services}")
    assert time.monotonic() - begun < 10
    for service in services.split():
        assert machine(f"systemctl show -p Result --value {service}") == "success"


def test_the_unit_of_a_user(machine):
    """Without root: the user's own service manager, and the configuration in the user's home."""
    machine("useradd -m joe && install -d -o joe -m 0700 /run/user/1000 && "
            "install -d -o joe /home/joe/.config /home/joe/.config/muxsocks")
    machine("muxsocks-server init --host 127.0.0.1:8443 --dir /etc/muxsocks --group muxsocks --force "
            "&& install -o joe -m 0600 /etc/muxsocks/client.json /home/joe/.config/muxsocks/")
    machine("systemctl restart muxsocks-server && systemd-run -q --uid=joe -p Delegate=yes "
            "-p Environment=XDG_RUNTIME_DIR=/run/user/1000 -p Environment=HOME=/home/joe "
            "/lib/systemd/systemd --user")
    joe = "runuser -u joe -- env XDG_RUNTIME_DIR=/run/user/1000 systemctl --user"
    machine(f"for i in $(seq 20); do {joe} is-active default.target && break; sleep 0.5; done")
    machine(f"{joe} start muxsocks-client && {joe} reload muxsocks-client")
    assert machine(f"{joe} show -p StatusText --value muxsocks-client") == "serving"
    machine(f"{joe} stop muxsocks-client")


def lets_encrypt():
    """The commands of docs/OPERATIONS.md, from the hook to the service."""
    text = (ROOT / "docs/OPERATIONS.md").read_text()
    return textwrap.dedent(re.search(r"^    sudo apt install certbot\n(.*?)(?=^\S)", text,
                                     re.M | re.S).group(1))


# Makes a lineage as certbot does, anew with a new key each time.
CERTBOT = """#!/bin/sh
set -e
live=/etc/letsencrypt/live/server.example.org
mkdir -p $live
muxsocks-server init --host server.example.org --dir /made --force > /dev/null
mv /made/server-cert.pem $live/fullchain.pem
mv /made/server-key.pem $live/privkey.pem
"""


def test_lets_encrypt_by_the_documents_and_a_renewal_that_reaches_the_service(machine):
    def put(name, text):
        docker("exec", "-i", machine.name, "sh", "-c",
               f"cat > /usr/local/bin/{name} && chmod 0755 /usr/local/bin/{name}", text=text)

    put("certbot", CERTBOT)
    put("sudo", '#!/bin/sh\nexec env "$@"\n')
    # A new server: nothing that another init has made.
    machine("systemctl stop muxsocks-server; rm -f /etc/muxsocks/*.json /etc/muxsocks/*.pem")
    docker("exec", "-i", machine.name, "sh", "-e", text=lets_encrypt())
    machine("systemctl is-active muxsocks-server")
    machine("certbot; RENEWED_LINEAGE=/etc/letsencrypt/live/server.example.org "
            "/etc/letsencrypt/renewal-hooks/deploy/muxsocks")
    said = machine("for i in $(seq 20); do journalctl --no-pager -u muxsocks-server | "
                   "grep 'certificates read anew' && exit; sleep 0.5; done; "
                   "journalctl --no-pager -u muxsocks-server; exit 1")
    assert "its key is a new one" in said


def test_an_upgrade_leaves_alone_what_runs_and_a_removal_stops_it(machine):
    machine("rm -rf /etc/muxsocks/tls/* && muxsocks-server init --host 127.0.0.1:8443 --dir /etc/muxsocks --group muxsocks --force")
    machine("systemctl restart muxsocks-server muxsocks-client")
    before = machine("pidof muxsocks-server muxsocks-client")
    said = machine("apt-get install -y --reinstall /packages/*.deb")
    assert said.count("still runs as it was") == 2
    assert machine("pidof muxsocks-server muxsocks-client") == before
    machine("apt-get remove -y muxsocks-server muxsocks-client")
    assert machine("pidof muxsocks-server muxsocks-client || true") == ""


def test_purging_leaves_no_file(debian):
    """The last one of the module: also what init has written goes, and the service's log."""
    debian("install -d -o muxsocks /var/log/muxsocks && touch /var/log/muxsocks/log")
    debian("apt-get purge -y muxsocks-client muxsocks-server")
    left = debian("find / -xdev -name '*muxsocks*' -not -path '/packages/*' -not -path '/proc/*'")
    assert left == "", left
