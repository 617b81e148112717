"""Listening on unix-domain sockets, and on what a service manager has opened."""

import os
import socket
import stat

import pytest

from support import deadline, muxsocks, programs, servers, socks
from support.servers import read_exactly


def with_more(*entries):
    """The client's configuration with more to listen on."""
    return {"listen": [f"127.0.0.1:{programs.free_port()}", *entries]}


def through(at, target):
    """A byte there and back by SOCKS5 over the socket at `at`."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(deadline.seconds(10))
        connection.connect(at)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes(target.host, target.port))
        assert socks.read_reply(connection).rep == socks.SUCCEEDED
        connection.sendall(b"x")
        return read_exactly(connection, 1) == b"x"


def test_a_path_and_an_abstract_name(pair, target, folder):
    echo = target(servers.echo)
    path, name = str(folder / "socket"), f"muxsocks-test-{os.getpid()}"
    proxy = pair(client=with_more(f"unix:{path}", f"unix:@{name}"))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert through(path, echo) and through("\0" + name, echo)
    ended = programs.run(["curl", "-sS", "--unix-socket", path, "http://localhost/proxy.pac"])
    assert "FindProxyForURL" in ended.stdout, ended.stderr
    assert proxy.client.stop() == 0
    assert not os.path.exists(path)


def test_mode_and_a_socket_that_was_left_behind(pair, target, folder):
    echo = target(servers.echo)
    path = str(folder / "socket")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    proxy = pair(client=with_more({"address": f"unix:{path}", "mode": "0666"}))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    assert through(path, echo)
    ended = programs.run([programs.binary("muxsocks-client"), "-c",
                          muxsocks.write_config(folder / "second", "client", muxsocks.merge(
                              proxy.client.config, with_more(f"unix:{path}")))])
    assert ended.returncode != 0 and "another program listens there" in ended.stderr
    assert through(path, echo)


def test_what_is_no_socket_is_left_alone(folder, pair):
    (folder / "file").write_text("precious")
    proxy = pair()
    ended = programs.run([programs.binary("muxsocks-client"), "-c",
                          muxsocks.write_config(folder / "second", "client", muxsocks.merge(
                              proxy.client.config, with_more(f"unix:{folder}/file")))])
    assert ended.returncode != 0 and "no socket" in ended.stderr
    assert (folder / "file").read_text() == "precious"


def test_a_user_of_this_machine_needs_no_password(pair, target, folder):
    echo = target(servers.echo)
    path = str(folder / "socket")
    for uid, good in ((os.getuid(), True), (54321, False)):
        proxy = pair(client={**with_more(f"unix:{path}"), "users": [{"name": "me", "uid": uid}]})
        with pytest.raises(PermissionError):
            socks.ask(proxy.socks, echo.host, echo.port)
        if good:
            assert through(path, echo)
        else:
            with pytest.raises(PermissionError):
                through(path, echo)
        proxy.client.stop()


def test_a_health_check_over_a_unix_socket(new_pair, folder):
    path = str(folder / "socket")
    proxy = new_pair(client={"listen": [f"127.0.0.1:{programs.free_port()}"]}).start()
    config = muxsocks.merge(proxy.client.config, {"listen": [f"unix:{path}"]})
    proxy.client.reload(config)
    proxy.client.wait_for_log("configuration reloaded")
    ended = programs.run([programs.binary("muxsocks-client"), "health", "-c", proxy.client.config_path])
    assert ended.returncode == 0 and "healthy" in ended.stdout, ended.stdout + ended.stderr


ACTIVATE = """
import fcntl, os, socket, sys
names, high = [], []
for port in sys.argv[2].split(","):
    with socket.socket() as made:
        made.bind(("127.0.0.1", int(port)))
        made.listen(16)
        high.append(fcntl.fcntl(made.fileno(), fcntl.F_DUPFD, 50))
    names.append(sys.argv[1])
for number, each in enumerate(high):
    os.dup2(each, 3 + number, inheritable=True)
    os.close(each)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.mark.parametrize("role", ["client", "server"])
def test_sockets_of_the_service_manager(new_pair, target, folder, role):
    echo = target(servers.echo)
    proxy = new_pair()
    settings = proxy.client_settings if role == "client" else proxy.server_settings
    listen = settings["listen"]
    port = int((listen if isinstance(listen, str) else listen[0]).rpartition(":")[2])
    path = muxsocks.write_config(folder / role, role, muxsocks.merge(settings, {"listen": "systemd:proxy"}))
    more = programs.free_port()
    run = programs.Program(["/usr/bin/python3", "-c", ACTIVATE, "proxy", f"{port},{more}",
                            programs.binary(f"muxsocks-{role}"), "-c", path], folder, name=f"activated-{role}")
    try:
        run.wait_for_log("listening for .* on systemd:proxy", count=2)
        if role == "client":
            proxy.start_server()
        else:
            proxy.start_client()
        ports = (port, more) if role == "client" else (proxy.client.port,)
        for each in ports:
            socks.connect(("127.0.0.1", each), echo.host, echo.port).close()
        run.send(1)
        run.wait_for_log("configuration reloaded")
        socks.connect(("127.0.0.1", ports[-1]), echo.host, echo.port).close()
    finally:
        run.stop()


def test_a_socket_that_was_not_passed(folder, pair):
    proxy = pair()
    ended = programs.run([programs.binary("muxsocks-client"), "-c",
                          muxsocks.write_config(folder / "second", "client", muxsocks.merge(
                              proxy.client.config, {"listen": "systemd:other"}))])
    assert ended.returncode != 0 and "passed no socket of that name" in ended.stderr
