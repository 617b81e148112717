"""Many users of one server: 500 of whom one is hostile, and thousands who lose their links at once."""

import json
import time

import arena
import cases
from support import muxsocks, programs

USERS = 500
MEMORY_TOTAL = 256 << 20
# What may be passed for a moment (an eighth), and what memory.total leaves out: a KiB for each stream of one
# user who has all that it may, scratch buffers, what the heap keeps for the next one.
MEMORY_MAX = MEMORY_TOTAL + MEMORY_TOTAL // 8 + (32 << 20)
SESSIONS_OF_A_USER = 8  # as many as one may have by default


def hostile_in_turn(folder, keyring, seconds, threads, users=USERS, short=False, tell=None):
    """Every attack for its share of the seconds, beside a crowd of whom each has a session and asks for
    something every two seconds, and a client's connection that stands. Returns what went wrong, and the figures."""
    names = [f"user{number}" for number in range(users)]
    attacks = [name for name, case in cases.CASES.items() if case.attacks]
    settings = {"memory": {"total": f"{MEMORY_TOTAL >> 20}MiB"}, "proxy_protocol": {"from": ["127.64.0.0/10"]}}
    field = arena.Arena(folder / "crowd", keyring, seconds, settings, users=("honest", "mallory", *names), threads=threads)
    figures = {}
    try:
        with field.watched():
            crowd = field.tool("crowd", "--server", field.server.address, "--user", "user", "--users",
                               users, "--rate", 0.5, "--seconds", seconds + 600, "--target",
                               f"127.0.0.1:{field.honest_targets['echo']}")
            crowd.line()
            honest = field.honest(seconds + 600, rate=5)
            figures["resident_before"] = field.server.resident_bytes()
            field.forget_peaks()
            for name in attacks:
                case = cases.CASES[name]
                end = time.monotonic() + seconds / len(attacks)
                tools = [field.attack(mode, *cases.small(options, case.small if short else {}))
                         for mode, *options in case.attacks]
                arena.until(end)
                figures[name] = {"peak_bytes": field.peak_bytes(), "attacks":
                                 [tool.finish() for tool in tools]}
                if tell:
                    tell(f"{name:<18} RSS at most {field.peak_bytes() >> 20} MiB so far", flush=True)
            figures["peak_bytes"] = field.peak_bytes()
            found = {**crowd.finish(), **{f"client's {what}": each for what, each in honest.finish().items()}}
    finally:
        field.stop()
    figures["crowd"] = found
    figures["peak_sockets"] = field.peak_sockets
    if tell:
        tell(json.dumps(found))
    faults = [f"{each['failed']} {what} of the crowd failed: {each['why']}"
              for what, each in found.items() if isinstance(each, dict) and each["failed"]]
    for who in ("requests", "client's requests", "client's standing"):
        if not found.get(who, {}).get("good"):
            faults.append(f"{who} of the crowd got nothing")
    most = figures["resident_before"] + MEMORY_MAX
    if figures["peak_bytes"] > most and not programs.sanitizer():
        faults.append(f"{figures['peak_bytes']} bytes were resident, and {most} at most are to be")
    return faults, figures


def outage(folder, keyring, sessions, plain, threads, group=None, tell=None):
    """So many sessions, eight a user, lost in one moment, and all back as soon as it goes; beside them the
    honest user's connection says how long the server was away. With a `group` only so many have links at a
    time: the others are lost before."""
    names = [f"user{number}" for number in range(-(-sessions // SESSIONS_OF_A_USER))]
    server = {"resume": {"timeout": "10m"}}
    field = arena.Arena(folder / "outage", keyring, 600, server, users=("honest", "mallory", *names),
                        threads=threads)
    try:
        with field.watched():
            rest = field.honest(3).result(30)
            at_first = field.server.resident_bytes()
            tool = field.tool("outage", "--server", field.server.address, "--user", "user", "--users",
                              len(names), "--sessions", sessions, "--seconds", 900,
                              *(["--plain"] if plain else []), *(["--count", group] if group else []),
                              niceness=arena.ATTACKERS_NICE)
            assert tool.line() == "up"
            resident = field.server.resident_bytes()
            honest = field.honest(900, rate=20)
            assert tool.line() == "lost"
            assert tool.line() == "back"
            found = honest.finish()
            returned = tool.result(60)
            peak, after = field.peak_bytes(), field.server.resident_bytes()
    finally:
        field.stop()
    figures = {"rest": rest, "honest": found, "sessions": returned, "resident_at_first": at_first,
               "resident_up": resident, "resident_back": after, "peak_bytes": peak,
               "peak_sockets": field.peak_sockets}
    if tell:
        tell(json.dumps(figures, indent=2))
    faults = [f"{each['failed']} {what} failed: {each['why']}" for what, each in
              (*returned.items(), *found.items()) if isinstance(each, dict) and each["failed"]]
    return faults, figures


def dials_of_an_ended_client(folder, seconds):
    """How often a client dials a server that ends each link right behind AUTH_OK."""
    folder.mkdir(parents=True, exist_ok=True)
    server = arena.Tool("ends", "--user", "honest", "--seconds", seconds)
    try:
        address = f"127.0.0.1:{server.line()}"
        client = muxsocks.Muxsocks("client", folder, {
            "listen": f"127.0.0.1:{programs.free_port()}", "server": address,
            "auth": {"user": "honest", "token": arena.user("honest")["token"]},
            "tls": {"enabled": False}, "log": {"level": "info"}})
        try:
            return server.result(seconds + 30)
        finally:
            client.kill()
    finally:
        server.kill()
