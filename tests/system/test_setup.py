"""From nothing to a working proxy: init, the files that it writes, the share link, and users."""

import grp
import json
import os
import re
import shlex
import signal
import stat
import subprocess

import pytest

from support import muxsocks, namespace, programs, servers, socks
from support.deadline import seconds

FAILURE, USAGE, BAD_CONFIGURATION = 1, 2, 23
FILES = ["client.json", "server-cert.pem", "server-key.pem", "server.json"]


def run(role, *arguments, text=None, **options):
    return subprocess.run([programs.binary(f"muxsocks-{role}"), *map(str, arguments)], text=True,
                          input=text, capture_output=True, timeout=seconds(20), **options)


def init(folder, host, *more):
    """`muxsocks-server init`; returns the share link that it prints."""
    ended = run("server", "init", "--host", host, "--dir", folder, *more)
    assert ended.returncode == 0, ended.stderr
    links = re.findall(r"muxsocks://\S+", ended.stdout)
    assert len(links) == 1, ended.stdout
    return links[0]


@pytest.fixture
def run_inside(internet, folder, started):
    """Starts a program in the namespace, and waits until its log has `sign`."""

    def start(role, *arguments, sign, **options):
        program = started([*internet.here.prefix, programs.binary(f"muxsocks-{role}"), *arguments],
                          name=role, **options)
        program.wait_for_log(sign)
        return program

    return start


def test_what_init_writes_works_unchanged(internet, folder, run_inside):
    internet.here.need_ipv6()
    init(folder / "x", "127.0.0.1:8443")
    server = run_inside("server", "-c", folder / "x/server.json", sign="listening for links")
    client = run_inside("client", "-c", folder / "x/client.json", sign=muxsocks.LINK_UP)
    internet.talk()
    internet.talk("::1")
    assert client.stop() == 0 and server.stop() == 0


def test_a_client_without_ipv6_listens_on_the_rest_of_its_default(internet, folder, run_inside):
    internet.here.give_up_ipv6()
    init(folder / "x", "127.0.0.1:8443")
    run_inside("server", "-c", folder / "x/server.json", sign="listening for links")
    client = run_inside("client", "-c", folder / "x/client.json", sign=muxsocks.LINK_UP)
    internet.talk()
    line, = re.findall(r".*\[::1\].*", client.log())
    assert " info " in line and "not listening on [::1]:1080" in line
    assert client.stop() == 0


def test_the_link_alone_is_enough(internet, folder, run_inside):
    link = init(folder / "x", "127.0.0.1:8443")
    (folder / "x/client.json").unlink()
    run_inside("server", "-c", folder / "x/server.json", sign="listening for links")
    file = folder / "link"
    file.write_text(link + "\n")
    file.chmod(0o600)
    client = run_inside("client", "--link-file", file, sign=muxsocks.LINK_UP)
    internet.talk()
    assert client.stop() == 0

    client = run_inside("client", sign=muxsocks.LINK_UP, env={"MUXSOCKS_LINK": link}, cwd=folder)
    internet.talk()
    assert client.stop() == 0

    with open(file) as text:
        client = run_inside("client", "--link-file", "-", sign=muxsocks.LINK_UP, stdin=text)
    internet.talk()
    assert client.stop() == 0

    ended = run("client", "import", file, "--out", folder / "imported.json")
    assert ended.returncode == 0, ended.stderr
    client = run_inside("client", "-c", folder / "imported.json", sign=muxsocks.LINK_UP)
    internet.talk()
    assert client.stop() == 0


def test_a_link_from_standard_input_is_kept_for_a_reload(folder, started):
    link = init(folder / "x", f"127.0.0.1:{programs.free_port()}")
    file = folder / "link"
    file.write_text(link)
    with open(file) as text:
        client = started([programs.binary("muxsocks-client"), "--link-file", "-", "--listen",
                          f"127.0.0.1:{programs.free_port()}"], stdin=text)
    client.wait_for_log("listening")
    client.send(signal.SIGHUP)
    assert "configuration reloaded" in client.wait_for_log(".*reload.*").group()
    assert client.stop() == 0


def test_what_is_wrong_with_a_link_is_said_where_it_stands(folder):
    ended = run("client", "-t", env={**os.environ, "MUXSOCKS_LINK": ""}, cwd=folder)
    assert ended.returncode == BAD_CONFIGURATION and "$MUXSOCKS_LINK" in ended.stderr
    ended = run("client", "--link-file", folder / "none")
    assert ended.returncode == BAD_CONFIGURATION and "link file" in ended.stderr
    assert "the configuration" not in ended.stderr
    ended = run("client", "--link-file", folder / "none", "-c", "a.json")
    assert ended.returncode == USAGE and "a.json" in ended.stderr
    unreadable = folder / "unreadable"
    unreadable.write_text("muxsocks://")
    unreadable.chmod(0)
    uid = 10001 if os.getuid() == 0 else os.getuid()
    words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid == 10001 else []
    folder.chmod(0o755)
    ended = subprocess.run([*words, programs.binary("muxsocks-client"), "--link-file", "unreadable"],
                           cwd=folder, capture_output=True, text=True, timeout=seconds(20))
    assert ended.returncode == BAD_CONFIGURATION, ended.stderr
    assert f"uid {uid}" in ended.stderr and "link file" in ended.stderr


def test_a_link_with_another_pin_is_refused(folder, started, keys):
    port = programs.free_port()
    link = init(folder, f"127.0.0.1:{port}", "--client-listen",
                f"127.0.0.1:{programs.free_port()}")
    server = started([programs.binary("muxsocks-server"), "-c", folder / "server.json"])
    server.wait_for_log("listening for links")
    wrong = re.sub(r"pin=[^#]*", "pin=sha256:" + keys.other_pin.replace("/", "%2F"), link)
    client = started([programs.binary("muxsocks-client"), "--listen",
                      f"127.0.0.1:{programs.free_port()}"], env={"MUXSOCKS_LINK": wrong}, cwd="/")
    line = client.wait_for_log(r".*does not match the pin.*").group()
    assert "tls.pin_sha256" in line
    assert not re.search(muxsocks.LINK_UP, client.log())


def test_the_files_of_init_are_for_their_owner_only(folder):
    init(folder / "deep/er", "example.org")
    written = sorted((folder / "deep/er").iterdir())
    assert [file.name for file in written] == FILES
    for file in written:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize("option, allowed", [(("--allow", "127.0.0.0/8"), True),
                                             (("--allow", "10.0.0.0/8", "--allow", "::1/128"), False),
                                             (("--allow-private",), True), ((), False)])
def test_init_allows_a_home_network(folder, started, target, option, allowed):
    port, echo = programs.free_port(), target(servers.echo)
    proxy = ("127.0.0.1", programs.free_port())
    init(folder / "x", f"127.0.0.1:{port}", "--client-listen", "%s:%d" % proxy, *option)
    server = started([programs.binary("muxsocks-server"), "-c", folder / "x/server.json"])
    server.wait_for_log("listening")
    client = started([programs.binary("muxsocks-client"), "-c", folder / "x/client.json"])
    client.wait_for_log(muxsocks.LINK_UP)
    for _ in range(3):
        with socks.open_connection(proxy) as connection:
            socks.negotiate(connection)
            connection.sendall(socks.request_bytes(*echo.endpoint))
            assert socks.read_reply(connection).rep == (socks.SUCCEEDED if allowed else 2)
    if allowed:
        assert "refused" not in server.log()
    else:
        # At info, once, with the range and the key, and without the target itself.
        line = server.wait_for_log(r".* info .*me was refused.*").group()
        assert "127.0.0.0/8, a loopback address" in line and '"allow_private": true' in line
        assert server.log().count("refused") == 1 and "127.0.0.1" not in line
    for each in (client, server):
        assert each.stop() == 0


def test_init_refuses_a_network_that_is_none(folder):
    ended = run("server", "init", "--host", "example.org", "--dir", folder / "x", "--allow", "10.0.0.0/33")
    assert ended.returncode != 0 and "--allow" in ended.stderr and "10.0.0.0/33" in ended.stderr
    assert not (folder / "x").exists()


def test_the_group_of_the_service_may_read_what_the_server_needs(folder):
    group = grp.getgrgid(os.getgid())
    init(folder / "x", "example.org", "--group", group.gr_name)
    for file in (folder / "x").iterdir():
        mode = 0o600 if file.name == "client.json" else 0o640
        assert stat.S_IMODE(file.stat().st_mode) == mode, file
        assert file.stat().st_gid == group.gr_gid
    ended = run("server", "init", "--host", "a", "--dir", folder / "y", "--group", "no-such-group")
    assert ended.returncode == FAILURE and "no-such-group" in ended.stderr
    assert not (folder / "y").exists(), "nothing was written"


def test_a_token_of_init_stands_in_the_client_and_its_digest_in_the_server(folder):
    link = init(folder, "example.org:443", "--user", "ann", "--name", "my server")
    token = json.loads((folder / "client.json").read_text())["auth"]["token"]
    assert link.startswith(f"muxsocks://ann:{token}@example.org:443?pin=sha256%3A")
    assert link.endswith("#my%20server")
    assert token not in (folder / "server.json").read_text()
    assert len(token) == 43
    other = folder / "other"
    init(other, "example.org:443")
    assert json.loads((other / "client.json").read_text())["auth"]["token"] != token


def test_init_on_top_of_files_is_refused(folder):
    init(folder, "example.org")
    before = {name: (folder / name).read_text() for name in FILES}
    ended = run("server", "init", "--host", "example.org", "--dir", folder)
    assert ended.returncode == FAILURE
    assert "server.json" in ended.stderr and "--force" in ended.stderr
    assert {name: (folder / name).read_text() for name in FILES} == before
    for name in FILES[1:]:
        (folder / name).unlink()
    ended = run("server", "init", "--host", "example.org", "--dir", folder)
    assert ended.returncode == FAILURE, "one file is enough"
    assert [file.name for file in folder.iterdir()] == FILES[:1], "nothing was written"
    init(folder, "example.org", "--force")
    assert (folder / FILES[0]).read_text() != before[FILES[0]]


def test_init_gives_nobody_else_the_new_key_whatever_the_mode_of_the_old_one(folder):
    init(folder, "example.org")
    for name in FILES:
        (folder / name).chmod(0o644)
    init(folder, "example.org", "--force")
    for name in FILES:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    (folder / "client.json").chmod(0o644)
    link = folder / "link"
    link.write_text(init(folder / "x", "example.org"))
    ended = run("client", "import", link, "--out", folder / "client.json", "--force")
    assert ended.returncode == 0, ended.stderr
    assert stat.S_IMODE((folder / "client.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("arguments, said", [
    (["--host", "h:70000"], "h:70000"),
    (["--host", "two words"], "--host"),
    (["--host", "https://example.org"], "--host"),
    (["--host", "a", "--listen", "8443"], "--listen"),
    (["--host", "a", "--proxy-from", "10.0.0.1/8"], "10.0.0.0/8"),
    (["--host", "a", "--user", "a\nb"], "--user"),
    (["--host", "a", "--user", "u" * 256], "--user"),
    (["--host", "a", "--client-listen", "0.0.0.0:1080"], "--open-listener"),
    (["--host", "a", "--client-listen", "everywhere"], "--client-listen"),
    (["--host", "a", "--no-pin"], "--cert"),
])
def test_what_init_refuses_leaves_nothing_behind(folder, arguments, said):
    ended = run("server", "init", "--dir", folder / "x/y", *arguments)
    assert ended.returncode == USAGE and said in ended.stderr, ended.stderr
    assert "Written" not in ended.stdout and not (folder / "x").exists()


def test_init_refuses_a_certificate_and_a_key_that_do_not_belong_together(folder, keys):
    ended = run("server", "init", "--host", "a", "--dir", folder / "x", "--cert", keys.cert, "--key",
                folder / "none.pem")
    assert ended.returncode == FAILURE and "none.pem" in ended.stderr
    init(folder / "other", "a")
    ended = run("server", "init", "--host", "a", "--dir", folder / "x", "--cert", keys.cert, "--key",
                folder / "other/server-key.pem")
    assert ended.returncode == FAILURE and "belong" in ended.stderr, ended.stderr
    assert not (folder / "x").exists()


def test_init_says_which_folder_or_file_cannot_be_written(folder):
    (folder / "file").write_text("")
    ended = run("server", "init", "--host", "a", "--dir", folder / "file/x")
    assert ended.returncode == FAILURE and "file/x" in ended.stderr
    assert "Not a directory" in ended.stderr and ".new" not in ended.stderr
    (folder / "y/client.json").mkdir(parents=True)
    ended = run("server", "init", "--host", "a", "--dir", folder / "y", "--force")
    assert ended.returncode == FAILURE and "client.json" in ended.stderr
    assert ".new" not in ended.stderr and "Is a directory" in ended.stderr
    assert [file.name for file in (folder / "y").iterdir()] == ["client.json"]


def test_commands_to_copy_are_quoted_where_the_path_has_a_space(folder):
    """What init and import tell to run works when it is pasted, and the link is named as elsewhere."""
    place = folder / "it's a place"
    said = run("server", "init", "--host", "example.org", "--dir", place).stdout
    command, = re.findall(r"muxsocks-server (-c .*)", said)
    assert shlex.split(command) == ["-c", str(place / "server.json")]
    (folder / "link").write_text(re.search(r"muxsocks://\S+", said).group())
    out = place / "new.json"
    said = run("client", "import", folder / "link", "--out", out).stdout
    command, = re.findall(r"muxsocks-client (-c .*)", said)
    assert shlex.split(command) == ["-c", str(out)]
    (place / "client.json").unlink()
    said = run("server", "init", "--once", "--host", "example.org", "--dir", place).stdout
    command, = re.findall(r"muxsocks-server (user .*)", said)
    assert shlex.split(command)[-1] == str(place / "server.json")
    plain = run("server", "init", "--host", "example.org", "--dir", folder / "plain").stdout
    assert f"muxsocks-server -c {folder}/plain/server.json\n" in plain


def test_what_a_link_is(folder):
    """One word, one thing: a link is a connection, and the text with a token is a share link."""
    said = run("server", "init", "--host", "example.org", "--dir", folder / "x").stdout
    said += user(folder / "x/server.json", "add", "ann").stdout
    said += run("server", "user", "--help").stdout + run("client", "import", "--help").stdout
    said += run("server", "init", "--help").stdout
    text = re.sub(r"--link-file|LINK-FILE", "", said)
    assert re.findall(r".*(?<!share )(?<!share\n)\blink\b.*", text) == []


def on_a_terminal(command):
    """script(1) gives it one."""
    return subprocess.run(["script", "-qec", command, "/dev/null"], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=seconds(20))


def once(folder, *more, host="example.org", terminal=False):
    words = ["init", "--once", "--host", host, "--dir", folder, *more]
    if terminal:
        return on_a_terminal(f"{programs.binary('muxsocks-server')} {' '.join(map(str, words))}")
    return run("server", *words)


def test_init_once_shows_the_link_on_a_terminal_only(folder):
    """Elsewhere a log may collect it: that of a container, say."""
    ended = once(folder / "x")
    assert ended.returncode == 0 and "muxsocks://" not in ended.stdout
    assert "on a terminal" in ended.stdout and "below" not in ended.stdout
    before = {file: (folder / "x" / file).read_text() for file in FILES}
    token = json.loads(before["client.json"])["auth"]["token"]
    assert token not in ended.stdout + ended.stderr
    ended = once(folder / "x")
    assert ended.returncode == 0 and "muxsocks://" not in ended.stdout
    ended = once(folder / "x", terminal=True)
    assert ended.returncode == 0 and f"muxsocks://me:{token}@example.org:8443" in ended.stdout
    ended = once(folder / "y", terminal=True)
    assert ended.returncode == 0 and "muxsocks://me:" in ended.stdout
    (folder / "x/client.json").unlink()
    ended = once(folder / "x")
    assert ended.returncode == 0 and "user add" in ended.stdout
    assert all((folder / "x" / file).read_text() == before[file] for file in FILES[1:])


def test_init_once_for_another_host_says_what_to_do(folder):
    once(folder / "x")
    ended = once(folder / "x", host="example.net")
    assert ended.returncode == FAILURE
    assert "example.org:8443" in ended.stderr and "--force" in ended.stderr
    assert "docker compose down --volumes" in ended.stderr


def test_init_once_explains_a_folder_that_is_half_made(folder):
    once(folder / "x")
    (folder / "x/server.json").unlink()
    ended = once(folder / "x")
    assert ended.returncode == FAILURE
    assert "server-key.pem" in ended.stderr and "--force" in ended.stderr
    assert once(folder / "x", "--force").returncode == 0
    assert (folder / "x/server.json").exists()


def test_init_with_a_certificate_of_ones_own(folder, keys):
    init(folder / "x", "example.org", "--cert", keys.cert, "--key", keys.key)
    assert sorted(file.name for file in (folder / "x").iterdir()) == ["client.json", "server.json"]
    tls = json.loads((folder / "x/server.json").read_text())["tls"]
    assert tls == {"cert": str(keys.cert), "key": str(keys.key)}
    assert run("server", "-t", folder / "x/server.json").returncode == 0
    pins = json.loads((folder / "x/client.json").read_text())["tls"]["pin_sha256"]
    assert pins == ["sha256:" + keys.pin]


def test_init_without_a_pin_is_for_certificates_whose_key_changes(folder, keys):
    words = ["init", "--host", "example.org", "--cert", keys.cert, "--key", keys.key, "--dir"]
    ended = run("server", *words, folder / "pinned")
    assert "pinned to this key" in ended.stdout and "--reuse-key" in ended.stdout
    ended = run("server", *words, folder / "x", "--no-pin")
    assert ended.returncode == 0, ended.stderr
    assert "pin=" not in ended.stdout and "pinned" not in ended.stdout
    assert "tls" not in json.loads((folder / "x/client.json").read_text())
    assert run("client", "-t", folder / "x/client.json").returncode == 0
    added = user(folder / "x/server.json", "add", "ann")
    assert "muxsocks://ann:" in added.stdout and "pin=" not in added.stdout


@pytest.mark.parametrize("arguments", [[], ["--host", ""], ["--host", "a:0"], ["--host", "a:x"],
                                       ["--host", "a", "--dir", ""],
                                       ["--host", "a", "--cert", "c"], ["--nonsense"]])
def test_wrong_usage_of_init(folder, arguments):
    ended = run("server", "init", "--dir", folder / "x", *arguments)
    assert ended.returncode == USAGE, ended.stderr
    assert not (folder / "x").exists()


def test_init_shows_a_qr_code_on_a_terminal(folder):
    """Half blocks, the same number in each line."""
    ended = on_a_terminal(f"{programs.binary('muxsocks-server')} init --host example.org --dir "
                          f"{folder}/x")
    assert ended.returncode == 0, ended.stdout
    rows = [re.sub(r"\x1b\[[\d;]*m|[\r\n]", "", line) for line in ended.stdout.splitlines()
            if "\x1b[30;47m" in line]
    assert len(rows) > 15 and len({len(row) for row in rows}) == 1
    assert set("".join(rows)) <= set("█▀▄ ")
    # The corner that every code has, seven modules wide, behind a margin of two.
    assert rows[1].startswith("  █▀▀▀▀▀█ ")


def test_an_import_does_not_overwrite_and_does_not_leak(folder):
    link = init(folder / "x", "example.org")
    out = folder / "client.json"
    out.write_text("mine")
    ended = run("client", "import", "--out", out, text=link)
    assert ended.returncode == FAILURE and "--force" in ended.stderr
    assert "--out" in ended.stderr and "--dir" not in ended.stderr
    assert out.read_text() == "mine"
    assert run("client", "import", "--out", out, "--force", text=link).returncode == 0
    assert json.loads(out.read_text()) == json.loads((folder / "x/client.json").read_text())
    ended = run("client", "import", "--out", folder / "new", text="muxsocks://me:s3cret@host")
    assert ended.returncode == BAD_CONFIGURATION
    assert "s3cret" not in ended.stderr and not (folder / "new").exists()


def test_a_share_link_on_the_command_line_is_not_repeated(folder):
    link = "muxsocks://me:s3cret@example.org:443"
    file = folder / "link"
    file.write_text(link)
    for words in (["import", link], ["import", "--link-file", link], ["-c", link], [link],
                  ["doctor", "--link-file", link], ["health", "-c", link]):
        ended = run("client", *words, "--out" if words[0] == "import" else "-t", folder / "new")
        assert ended.returncode == USAGE, words
        assert "s3cret" not in ended.stderr and "muxsocks-client import FILE" in ended.stderr
    ended = run("client", "-t", env={**os.environ, "MUXSOCKS_CLIENT_CONFIG": link})
    assert ended.returncode == BAD_CONFIGURATION and "s3cret" not in ended.stderr, ended.stderr
    # A file with a link is no configuration, but says what it is.
    ended = run("client", "-c", file, "-t")
    assert ended.returncode == BAD_CONFIGURATION and "s3cret" not in ended.stderr
    assert "--link-file FILE" in ended.stderr


@pytest.fixture
def server_json(folder):
    port = programs.free_port()
    init(folder, f"127.0.0.1:{port}", "--client-listen", f"127.0.0.1:{programs.free_port()}")
    return folder / "server.json"


def user(server_json, *words):
    return run("server", "user", *words, "-c", server_json)


def test_users_come_and_go(server_json, folder, started):
    added = user(server_json, "add", "ann")
    assert added.returncode == 0, added.stderr
    token = added.stdout.splitlines()[-1]
    assert len(token) == 43 and token not in server_json.read_text()
    assert user(server_json, "list").stdout.split() == ["me", "ann"]

    server = started([programs.binary("muxsocks-server"), "-c", server_json])
    server.wait_for_log("listening for links")
    config = json.loads((folder / "client.json").read_text())
    config["auth"] = {"user": "ann", "token": token}
    config["listen"] = f"127.0.0.1:{programs.free_port()}"
    client = muxsocks.Muxsocks("client", folder / "ann", config)
    try:
        client.wait_for_log(muxsocks.LINK_UP)
        assert user(server_json, "remove", "ann").returncode == 0
        assert user(server_json, "list").stdout.split() == ["me"]
        server.send(1)  # SIGHUP
        client.wait_for_log(r"user was removed")
    finally:
        client.kill()


def test_a_new_user_gets_a_share_link(server_json, folder):
    port = json.loads(server_json.read_text())["listen"]
    first = json.loads((folder / "client.json").read_text())
    added = user(server_json, "add", "ann")
    link, token = re.search(r"muxsocks://\S+", added.stdout).group(), added.stdout.split()[-1]
    assert link.startswith(f"muxsocks://ann:{token}@127.0.0.1{port}?pin=sha256%3A")
    assert "SIGHUP" in added.stdout and "systemctl reload" in added.stdout
    imported = run("client", "import", "--out", folder / "ann.json", text=link)
    assert imported.returncode == 0, imported.stderr
    assert json.loads((folder / "ann.json").read_text())["tls"] == first["tls"]

    # All that was printed may be saved, and given as it is.
    (folder / "saved").write_text(added.stdout)
    again = run("client", "import", folder / "saved", "--out", folder / "again.json")
    assert again.returncode == 0, again.stderr
    assert (folder / "again.json").read_text() == (folder / "ann.json").read_text()

    (folder / "client.json").unlink()
    added = user(server_json, "add", "bob")
    assert "muxsocks://" not in added.stdout and "--host" in added.stdout
    added = user(server_json, "add", "eve", "--host", "example.org")
    link = re.search(r"muxsocks://eve:\S+@example.org:8443\?pin=\S+", added.stdout).group()
    imported = run("client", "import", "--out", folder / "eve.json", text=link)
    assert imported.returncode == 0, imported.stderr
    assert json.loads((folder / "eve.json").read_text())["tls"] == first["tls"]
    before = server_json.read_text()
    assert user(server_json, "add", "joe", "--host", "a b").returncode == USAGE
    assert user(server_json, "add", "a\nb").returncode == USAGE
    assert server_json.read_text() == before


def test_users_may_be_named_by_username(server_json):
    config = json.loads(server_json.read_text())
    config["users"].append({"username": "ann", "token_sha256": "a" * 64})
    server_json.write_text(json.dumps(config))
    assert user(server_json, "list").stdout.split() == ["me", "ann"]
    assert "exists already" in user(server_json, "add", "ann").stderr
    assert user(server_json, "remove", "ann").returncode == 0
    assert user(server_json, "list").stdout.split() == ["me"]


def test_the_last_user_stays(server_json):
    before = server_json.read_text()
    ended = user(server_json, "remove", "me")
    assert ended.returncode == FAILURE
    assert "me is the last user; a server without users does not start" in ended.stderr
    assert server_json.read_text() == before


def test_users_that_cannot_be_edited(server_json):
    for words, said in ((["add", "me"], "exists already"), (["remove", "bob"], "no user"),
                        (["list", "-c", "/no/such"], "no/such")):
        before = server_json.read_text()
        ended = user(server_json, *words) if "-c" not in words else run("server", "user", *words)
        assert ended.returncode in (FAILURE, BAD_CONFIGURATION) and said in ended.stderr
        assert server_json.read_text() == before
    for words in ([], ["add"], ["list", "me"], ["rename", "me"]):
        assert user(server_json, *words).returncode == USAGE, words


def test_editing_users_keeps_the_rest_and_warns_of_comments(server_json, folder):
    server_json.chmod(0o640)
    text = server_json.read_text().replace("{", "{ // mine\n", 1)
    server_json.write_text(text)
    ended = user(server_json, "add", "ann")
    assert ended.returncode == 0 and ".bak" in ended.stderr
    assert (folder / "server.json.bak").read_text() == text
    assert stat.S_IMODE(server_json.stat().st_mode) == 0o640
    assert run("server", "-t", server_json).returncode == 0
