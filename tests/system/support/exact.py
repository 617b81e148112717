"""muxsocks-exact (tests/tools/exact): many transfers at once, every byte checked."""

import json

from . import programs


def transfers(*, timeout=120, **options):
    """Runs it to its end. Options are the tool's with underscores: `transfers(socks=..., up="1MiB")`.

    Returns what it has counted, and under "right" whether it was content.
    """
    arguments = [programs.binary("muxsocks-exact")]
    for name, value in options.items():
        arguments.append("--" + name.rstrip("_").replace("_", "-"))
        if value is not True:
            arguments.append(value)
    ended = programs.run(arguments, timeout=timeout)
    if ended.returncode not in (0, 1):
        raise AssertionError(f"{arguments}: {ended.stderr}")
    return {**json.loads(ended.stdout), "right": ended.returncode == 0}
