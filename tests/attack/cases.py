"""The attacks, one by one, and what each of them must not do to others."""

import dataclasses
import time
from typing import Any

import arena


@dataclasses.dataclass
class Case:
    """`attacks` are modes of muxsocks-attack with their options. `small` takes the place of what it names
    in the short form (option: value)."""

    text: str
    attacks: list
    small: dict = dataclasses.field(default_factory=dict)
    server: dict = dataclasses.field(default_factory=dict)
    newcomers: Any = True  # from many addresses; or the address that they all have; or not at all
    names: bool = False    # whether the honest user asks for names
    warm: float = 1        # seconds from the attack's beginning until it is under way


SMALL_MEMORY = {"memory": {"total": "64MiB"}}

CASES = {
    "rest": Case("nobody attacks", []),
    "idle-strangers": Case(
        "52 connections a second from 512 addresses, which say nothing",
        [["idle", "--rate", 52, "--count", 5000]], {"--rate": 200}, warm=6),
    "idle-neighbours": Case(
        "40 connections from a user's own address, which say nothing",
        [["idle", "--rate", 20, "--count", 40, "--source", "127.0.0.1"]], newcomers="127.0.0.1",
        warm=2),
    "idle-ipv6": Case(
        "connections from 512 networks of one IPv6 /48, as a load balancer tells of them",
        [["idle", "--rate", 52, "--count", 5000, "--source", "127.64.0.1", "--claims", 1]],
        {"--rate": 200}, server={"proxy_protocol": {"from": ["127.64.0.0/10"]}}, warm=6),
    "failed-handshakes": Case(
        "800 handshakes a second from as many addresses, which fail in four ways",
        [["handshakes", "--rate", 200, "--kind", kind] for kind in ("garbage", "cut", "hello", "token")],
        {"--rate": 50}),
    "key-updates-1": Case("a link without a token that changes its keys for ever",
                          [["key-updates", "--count", 1]]),
    "key-updates-8": Case("eight of them", [["key-updates", "--count", 8]]),
    "dead-addresses-30": Case("30 connects a second to hosts that do not answer",
                              [["opens", "--rate", 30, "--target", "127.0.0.1:{dead}"]], warm=12),
    "dead-addresses-60": Case("60 of them a second",
                              [["opens", "--rate", 60, "--target", "127.0.0.1:{dead}"]],
                              {"--rate": 400}, warm=12),
    "mute-names": Case("120 names a second that no server answers, and honest names beside them",
                       [["opens", "--rate", 120, "--target", "mute#.test:80"]], {"--rate": 400},
                       names=True, warm=6),
    "cut-12000": Case("12,000 sessions of one user, all cut at once",
                      [["cut", "--sessions", 12000]], {"--sessions": 600}, newcomers=False),
    "cut-16000": Case("16,000 of them", [["cut", "--sessions", 16000]], {"--sessions": 900},
                      newcomers=False),
    "rejoin": Case("eight sessions whose links are cut and back without a pause",
                   [["rejoin", "--sessions", 8, "--target", "127.0.0.1:{hold}"]]),
    "no-acks-4": Case(
        "four sessions that download and acknowledge nothing",
        [["withhold", "--kind", "acks", "--sessions", 4, "--count", 4, "--target", "127.0.0.1:{give}"]],
        server=SMALL_MEMORY, warm=2),
    "no-acks-4000": Case(
        "4,000 of them",
        [["withhold", "--kind", "acks", "--sessions", 4000, "--count", 4000, "--target",
          "127.0.0.1:{give}"]], {"--sessions": 200, "--count": 200}, server=SMALL_MEMORY, warm=8),
    "no-credit": Case(
        "8,000 downloads over four sessions that grant no credit",
        [["withhold", "--kind", "credit", "--sessions", 4, "--count", 8000, "--target",
          "127.0.0.1:{give}"]], {"--count": 800}, server=SMALL_MEMORY, warm=5),
    "tiny-frames": Case(
        "frames of one byte on 5,000 streams",
        [["tiny-frames", "--count", 5000, "--sessions", 2, "--target", "127.0.0.1:{take}"]],
        {"--count": 500}, warm=3),
    "open-flood": Case("four sessions that open streams as fast as they can",
                       [["opens", "--sessions", 4, "--target", "127.0.0.1:{take}"]]),
    "reset-flood": Case("four sessions that open streams and reset them",
                        [["resets", "--sessions", 4, "--target", "127.0.0.1:{take}"]]),
}


@dataclasses.dataclass
class Result:
    name: str
    rest: dict       # of the honest user, in the seconds before
    honest: dict
    newcomers: dict
    healthy: bool
    peak_bytes: int
    peak_sockets: int
    attacks: list
    standing: dict

    def faults(self):
        """Whether nobody lost anything: a sentence for each loss."""
        found = [f"{each['failed']} of {who} failed: {each['why']}" for who, each in (
            ("the honest user's requests", self.honest), ("the newcomers", self.newcomers),
            ("the standing connections", self.standing)) if each.get("failed")]
        if not self.honest.get("good"):
            found.append("the honest user got nothing")
        if not self.healthy:
            found.append("the server's health was not to be had")
        return found


def small(options, changes):
    """The options with other values for some."""
    made = list(options)
    for index, word in enumerate(made[:-1]):
        if word in changes:
            made[index + 1] = changes[word]
    return made


def carry_out(name, field, short=False):
    """Measures at rest and then under the case's attack, in an arena of its own."""
    case = CASES[name]
    seconds = field.seconds
    rest = field.honest(min(3, seconds), names=case.names).result(60)
    field.forget_peaks()
    with field.watched():
        tools = [field.attack(mode, *small(options, case.small if short else {}))
                 for mode, *options in case.attacks]
        if any(mode == "cut" for mode, *_ in case.attacks):
            for tool in tools:  # measured from the moment of the cut on, and a little before
                tool.line()
        else:
            time.sleep(min(case.warm, 2) if short else case.warm)  # The attack is the condition.
        honest = field.honest(seconds, names=case.names)
        source = case.newcomers if isinstance(case.newcomers, str) else None
        newcomers = field.newcomers(seconds, source) if case.newcomers else None
        healthy = field.healthy()
        measured = honest.result(seconds + arena.ANSWER_SECONDS + 30)
        came = newcomers.result(arena.ANSWER_SECONDS + 30) if newcomers else {}
        attacks = [tool.finish() for tool in tools]
    return Result(name, rest["requests"], measured["requests"], came.get("newcomers", {}), healthy,
                  field.peak_bytes(), field.peak_sockets, attacks, measured.get("standing", {}))
