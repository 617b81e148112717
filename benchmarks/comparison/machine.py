"""What a figure cannot be read without: the machine, and the versions of everything."""

import os
import platform
import re
import subprocess
from pathlib import Path

from .limit import seconds_of_cipher
from .packages import package_versions
from .peers import Peer
from .scenes import Tools


def describe(tools: Tools, peers: list[Peer]) -> dict:
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "system": _system(),
        "congestion": tools.congestion if tools.namespaces else _system_congestion(),
        "versions": package_versions(list(dict.fromkeys(
            package for peer in peers for package in sorted(set(peer.programs.values()))))),
        "muxsocks": _version_of(tools.client),
        "cipher_seconds_per_gb": seconds_of_cipher(),
    }


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(errors="replace")
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _system() -> str:
    text = Path("/etc/os-release").read_text()
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
    return found.group(1) if found else "unknown"


def _system_congestion() -> str:
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def _version_of(program: Path) -> str:
    if not program.exists():
        return "not built"
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def as_lines(machine: dict) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cipher = machine["cipher_seconds_per_gb"]
    return [f"{machine['processors']} x {machine['processor']}, {machine['memory_gib']} GiB, "
            f"Linux {machine['kernel']}, {machine['system']}",
            f"congestion control {machine['congestion']} for everything",
            "AES-128-GCM, once each way: " + (f"{cipher:.2f} s/GB" if cipher else "not measured"),
            f"{machine['muxsocks']}; {versions}"]
