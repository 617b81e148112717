"""What stays of keys and tokens in a program's memory, and who can look there."""

import hashlib
import os
import re
import signal

import pytest

from support import muxsocks, programs


def memory_has(pid, *needles):
    """Whether each of the needles stands somewhere in the memory that the process can write to."""
    found = [False] * len(needles)
    with open(f"/proc/{pid}/mem", "rb", 0) as memory, open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            begin, end, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            if not rights.startswith("rw") or "[vvar" in line:
                continue
            try:
                memory.seek(int(begin, 16))
                text = memory.read(int(end, 16) - int(begin, 16))
            except OSError:
                continue  # what only the kernel reads
            found = [known or needle in text for known, needle in zip(found, needles)]
    return found


@pytest.mark.skipif(bool(programs.sanitizer()), reason="sanitizers keep what is freed")
def test_of_a_token_only_its_digest_stays_in_memory(pair):
    """Neither the text of the file nor what the parser made of it; after a reload, too."""
    proxy = pair()
    token = muxsocks.TOKEN.encode()
    for program in (proxy.client, proxy.server):
        for reloads in range(2):
            assert memory_has(program.pid, hashlib.sha256(token).digest(), token) == [True, False]
            program.send(signal.SIGHUP)
            program.wait_for_log("configuration reloaded", count=reloads + 1)


@pytest.mark.skipif(bool(programs.sanitizer()), reason="sanitizers keep what is freed")
def test_of_a_private_key_no_text_stays_in_memory(pair, keys):
    lines = keys.key.read_bytes().splitlines()
    assert lines[1] and b"-----" not in lines[1]
    assert memory_has(pair().server.pid, lines[1]) == [False]


def limit_and_owner(started, **environment):
    """A client's limit of core dumps, and the owner of its files in /proc: root where no process of
    the same user may look."""
    uid = 10001 if os.getuid() == 0 else os.getuid()
    words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid == 10001 else []
    client = started([*words, programs.binary("muxsocks-client"), "--server", "127.0.0.1:9", "--listen",
                      f"127.0.0.1:{programs.free_port()}"], env=environment, cwd="/")
    client.wait_for_log("listening")
    with open(f"/proc/{client.pid}/limits") as file:
        limit = re.search(r"Max core file size +(\S+) +(\S+)", file.read()).groups()
    owner = os.stat(f"/proc/{client.pid}/environ").st_uid
    assert client.stop() == 0
    return limit, owner, uid


def test_no_core_dump_and_no_debugger_of_the_same_user(started):
    limit, owner, _ = limit_and_owner(started, MUXSOCKS_DUMPABLE="")
    assert limit == ("0", "0") and owner == 0


def test_a_debugger_may_look_where_that_is_asked_for(started):
    _, owner, uid = limit_and_owner(started, MUXSOCKS_DUMPABLE="1")
    assert owner == uid
