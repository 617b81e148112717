"""Waiting with an end: nothing in these tests sleeps for a fixed time in the hope that it is enough."""

import time

# A busy machine makes programs slower by this much at most; sanitizers more (conftest.py).
slowness = 2.0


def seconds(normal):
    """A time-out that is meant for a release build, stretched for a slower one."""
    return normal * slowness


def wait_until(condition, timeout, what):
    """Polls `condition` until it returns something true, and returns that.

    `what` says in a failure what was waited for: a text, or a callable that makes one.
    """
    end = time.monotonic() + seconds(timeout)
    pause = 0.002
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {seconds(timeout):g} s: {text}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
