"""The attacks of tests/attack, small and for seconds: whatever one user or strangers do, nobody else's
requests fail. How long they take is tests/attack/run's to say; here only success counts."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "attack"))

import arena  # noqa: E402
import cases  # noqa: E402
import crowd  # noqa: E402

LONG = bool(os.environ.get("MUXSOCKS_LONG"))
SECONDS = 2


@pytest.mark.slow
@pytest.mark.parametrize("name", cases.CASES)
def test_an_attack_fails_nothing_of_others(name, folder, keys):
    field = arena.Arena(folder, keys, SECONDS, cases.CASES[name].server)
    try:
        result = cases.carry_out(name, field, short=True)
    finally:
        field.stop()
    assert result.faults() == []


@pytest.mark.slow
def test_one_of_many_users_is_hostile_in_every_way(folder, keys):
    """500 users for a minute or ten with MUXSOCKS_LONG=1, else a hundred for less."""
    seconds, users = (600, 500) if LONG else (len(cases.CASES) * 1.5, 100)
    faults, _ = crowd.hostile_in_turn(folder, keys, seconds, 1, users, short=not LONG)
    assert faults == []


@pytest.mark.slow
def test_sessions_that_are_all_lost_at_once_come_back(folder, keys):
    faults, figures = crowd.outage(folder, keys, 5_000 if LONG else 400, False, 1)
    assert faults == []
    assert figures["sessions"]["sessions"] == (5_000 if LONG else 400)


def test_a_server_that_ends_each_link_is_not_dialled_without_pause(folder):
    """AUTH_OK alone does not make a server a good one: the client's pauses go on growing."""
    assert crowd.dials_of_an_ended_client(folder / "ends", 5)["links"] <= 20
