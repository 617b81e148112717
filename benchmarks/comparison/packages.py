"""Finds the peers' programs, and brings what is missing from the distribution's packages.

Nothing is installed: the packages are downloaded and unpacked into a folder of their own, together
with the libraries that the machine lacks, and run from there. So no service starts, no account is
made, no configuration is written, and removing the folder removes everything. Works as any user.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Packages:
    """The programs of the machine, and behind them those unpacked into `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def find(self, program: str) -> str | None:
        """The path of a program, or nothing."""
        found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
        if found:
            return found
        return shutil.which(program, path=":".join(
            str(self.folder / part) for part in ("usr/sbin", "usr/bin", "sbin", "bin")))

    def environment(self, program: str) -> dict[str, str]:
        """What a program needs in its environment: its libraries, if it was unpacked."""
        if not program.startswith(str(self.folder)):
            return {}
        folders = {str(path.parent) for part in ("lib", "usr/lib")
                   for path in (self.folder / part).glob("**/*.so*")}
        return {"LD_LIBRARY_PATH": ":".join(sorted(folders))}

    def path_inside(self, path: str) -> Path:
        """A file of a package: the machine's, or the unpacked one."""
        system = Path(path)
        return system if system.exists() else self.folder / path.lstrip("/")

    def bring(self, wanted: dict[str, str], ask: bool) -> dict[str, str]:
        """Unpacks the packages of missing programs (program -> package).

        Returns why a program is still missing (program -> reason). With `ask` the user is asked
        first; without a terminal to ask at the answer is no.
        """
        missing = {program: package for program, package in wanted.items()
                   if not self.find(program)}
        if not missing:
            return {}
        if not shutil.which("apt-get"):
            return {program: "not installed, and there is no apt-get" for program in missing}
        if ask and not self._agreed(sorted(set(missing.values()))):
            return {program: "not installed (compare --yes unpacks it)" for program in missing}
        packages = sorted(set(missing.values()))
        if not all([self._plan(package) for package in packages]):
            # A new machine has no index yet. Without the right to fetch one nothing changes.
            subprocess.run(["apt-get", "--quiet", "update"], capture_output=True, check=False)
        for package in packages:
            self._unpack(package)
        return {program: f"package {package} is not available in this distribution"
                for program, package in missing.items() if not self.find(program)}

    def _agreed(self, packages: list[str]) -> bool:
        if not sys.stdin.isatty():
            return False
        print(f"Missing packages: {', '.join(packages)}.\n"
              f"They can be downloaded and unpacked into {self.folder};\n"
              "nothing is installed and no service starts.", file=sys.stderr)
        return input("Do that? [y/N] ").strip().lower() in ("y", "yes")

    @staticmethod
    def _plan(package: str) -> list[str]:
        """The package with every dependency that the machine lacks; none if it is unknown."""
        plan = subprocess.run(
            ["apt-get", "--simulate", "--no-install-recommends", "install", package],
            capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        return re.findall(r"^Inst (\S+)", plan.stdout, re.MULTILINE)

    def _unpack(self, package: str) -> None:
        names = self._plan(package)
        if not names:
            return
        archives = self.folder / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "--quiet", "download", *names], cwd=archives,
                       capture_output=True, check=False)
        for archive in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", archive.name, str(self.folder)], cwd=archives,
                           capture_output=True, check=False)
            archive.unlink()


def package_versions(packages: list[str]) -> dict[str, str]:
    """The versions that are installed, or would be; for the report."""
    done = subprocess.run(["apt-cache", "policy", *packages], capture_output=True, text=True,
                          check=False, env={**os.environ, "LC_ALL": "C"})
    versions = dict.fromkeys(packages, "unknown")
    for block in re.split(r"^(?=\S)", done.stdout, flags=re.MULTILINE):
        found = re.search(r"Installed: (?!\(none\))(\S+)", block) or \
            re.search(r"Candidate: (\S+)", block)
        if found:
            versions[block.partition(":")[0]] = found.group(1)
    return versions
