"""docker/compose.yml as it is: server and client, and what happens to a user when either is stopped,
restarted, killed or cut off. The tests share one project and leave it running well."""

import json
import os
import signal
import subprocess
import time

import downloads
import engine
import pytest
from engine import docker, inspect, wait_for_health
from support import deadline

FILES = ["docker/compose.yml", "tests/docker/compose.target.yml",
         "tests/docker/compose.server-target.yml"]


@pytest.fixture(scope="module")
def stack(project, images, files):
    """The project, up; a target that only the server's network reaches, and rules that allow it."""
    up = project("2", FILES)
    up("up", "-d", timeout=180)
    up.change_server(images["server"], {"destinations": {"allow": [up.subnet("targets")]}},
                     ["server"])
    up.server, up.client = up.container("server"), up.container("client")
    up.proxy = ("127.0.0.1", int(up.settings["MUXSOCKS_PORT"]))
    return up


def exit_code(container):
    return int(inspect(container, "{{.State.ExitCode}}"))


def test_both_become_healthy_and_curl_fetches_a_page(stack, files, tmp_path):
    for container in (stack.server, stack.client):
        wait_for_health(container, "healthy", 20)
    fetched = tmp_path / "page"
    ended = subprocess.run(["curl", "-sS", "-f", "-x", f"socks5h://127.0.0.1:{stack.proxy[1]}",
                            "-o", fetched, f"http://target/{files.page.name}"],
                           capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert fetched.read_bytes() == (files.folder / files.page.name).read_bytes()


def test_the_target_is_out_of_the_clients_reach_and_other_private_addresses_are_denied(stack):
    address = engine.address(stack.container("target"), f"{stack.name}_targets")
    connect = f"exec 3<>/dev/tcp/{address}/80"
    reach = ["timeout", "3", "bash", "-c", connect]
    assert subprocess.run(["docker", "exec", stack.server, *reach], check=False).returncode == 0
    assert subprocess.run(["docker", "exec", stack.client, *reach], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0
    denied = downloads.fetch(stack.proxy, "", "", host="client")
    assert "REP 2" in denied.why, denied


def test_nothing_runs_as_root_or_can_write(stack):
    for container in (stack.server, stack.client):
        users = docker("top", container, "-eo", "pid,uid,cmd").splitlines()[1:]
        assert users and all(line.split()[1] == "10001" for line in users), users
        host = json.loads(inspect(container, "{{json .HostConfig}}"))
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
        assert host["Memory"] > 0 and host["NanoCpus"] > 0
        write = subprocess.run(["docker", "exec", container, "sh", "-c",
                                "touch /x || touch /etc/muxsocks/x || touch /tmp/x"],
                               capture_output=True, text=True, check=False)
        assert write.returncode != 0 and "Read-only" in write.stderr, write


def test_a_link_may_have_under_way_what_long_lines_need(stack):
    for container in (stack.server, stack.client):
        for name in ("tcp_wmem", "tcp_rmem"):
            numbers = docker("exec", container, "cat", f"/proc/sys/net/ipv4/{name}").split()
            assert int(numbers[2]) == 64 << 20, (container, name, numbers)


def test_secrets_are_their_owners_alone(stack):
    listing = docker("exec", stack.server, "stat", "-c", "%u %a %n", "/etc/muxsocks/server-key.pem",
                     "/etc/muxsocks/client.json", "/etc/muxsocks/server-cert.pem").splitlines()
    assert [line.split()[:2] for line in listing] == [["10001", "600"]] * 3, listing


def test_the_client_is_unhealthy_without_its_server(stack):
    docker("stop", stack.server)
    assert exit_code(stack.server) == 0
    print(f"unhealthy after {wait_for_health(stack.client, 'unhealthy', 20):.1f} s")
    docker("start", stack.server)
    print(f"healthy after {wait_for_health(stack.client, 'healthy', 20):.1f} s")


def test_after_a_restart_of_the_server_the_next_request_works(stack, files):
    stack("restart", "server")
    print(f"works {downloads.works(stack.proxy, files.page, 5):.1f} s after the restart")


def test_a_killed_process_is_restarted(stack, files):
    for container in (stack.server, stack.client):
        restarts = int(inspect(container, "{{.RestartCount}}"))
        process = int(inspect(container, "{{.State.Pid}}"))
        os.kill(process, signal.SIGKILL)
        deadline.wait_until(lambda: int(inspect(container, "{{.RestartCount}}")) > restarts and
                            int(inspect(container, "{{.State.Pid}}")) not in (0, process),
                            10, "the policy to restart it")
        print(f"works {downloads.works(stack.proxy, files.page, 10):.1f} s after that")


def test_downloads_outlive_a_partition(stack, files):
    """20 s without a network between client and server: the downloads go on where they were."""
    network = f"{stack.name}_link"
    running = downloads.Many(10, stack.proxy, files.large, rate=200_000)
    deadline.wait_until(lambda: " 10 streams" in engine.statistics(stack.client), 10,
                        "the downloads to run")
    docker("network", "disconnect", network, stack.server)
    time.sleep(20)  # The length of the partition is the subject.
    assert running.running() == 10
    docker("network", "connect", "--alias", "server", network, stack.server)
    back = time.monotonic()
    print(f"a new request works {downloads.works(stack.proxy, files.page, 20):.1f} s after it")
    running.wait()
    print(f"the last download ended {time.monotonic() - back:.1f} s after it")
    assert running.count("complete") == 10, running.found


def test_a_second_up_changes_nothing(stack, images):
    def configuration():
        return docker("exec", stack.server, "sh", "-c", "sha256sum /etc/muxsocks/*")

    before = configuration()
    stack("up", "-d", timeout=180)
    assert configuration() == before
    assert (stack.container("server"), stack.container("client")) == (stack.server, stack.client)
    assert "nothing to do" in engine.logs(stack.container("init"))


def test_stop_ends_both_in_order(stack):
    stack("stop")
    assert [exit_code(stack.server), exit_code(stack.client)] == [0, 0]
