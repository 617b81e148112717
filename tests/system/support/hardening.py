"""What a program that ships must have against faults of memory, as `checksec` would ask, by readelf."""

import re
import subprocess


def readelf(option, path):
    return subprocess.run(["readelf", "--wide", option, str(path)], capture_output=True, text=True,
                          check=True).stdout


def faults(path, control_flow=True, static=False):
    """One sentence for each thing that the program at `path` lacks. Marks of control flow (CET) are
    there if all that was linked has them, the system's own files included: not on all systems. Of a
    static program nothing tells which functions it has."""
    header, segments, dynamic = (readelf(option, path) for option in ("-h", "-l", "-d"))
    symbols = readelf("--dyn-syms", path)
    if not re.search(r"Type:\s+DYN", header) or ("INTERP" in segments) == static:
        yield "it is not position-independent"
    if static and "NEEDED" in dynamic:
        yield "it needs libraries of the system"
    if "GNU_RELRO" not in segments or not re.search(r"BIND_NOW|FLAGS_1.*NOW", dynamic):
        yield "its tables of functions can be written to (not full RELRO)"
    stack = re.search(r"GNU_STACK.* (R\S*) +0x", segments)
    if not stack or "E" in stack.group(1):
        yield "its stack can be executed"
    if re.search(r"LOAD.* RWE ", segments):
        yield "it has a segment that can be written to and executed"
    if not static and "__stack_chk_fail" not in symbols:
        yield "no function watches its stack"
    if not static and not re.search(r"__\w+_chk(@|\b)", symbols.replace("__stack_chk_fail", "")):
        yield "nothing is fortified"
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        yield "it looks for libraries in a folder of its own"
    if control_flow and "Machine:                           Advanced Micro" in header \
            and not re.search(r"x86 feature: .*IBT.*SHSTK", readelf("-n", path)):
        yield "jumps and returns are not watched (CET)"
