"""Throw-away keys, certificates and secrets, made anew for each run of the comparison."""

import os
import secrets
import subprocess
from pathlib import Path

SERVER_NAME = "bench.test"


class Keys:
    """Everything secret that the peers need, in one folder that is removed afterwards."""

    def __init__(self, folder: Path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"
        self.certificate_with_key = folder / "server-both.pem"
        self.password = secrets.token_hex(16)
        self.token = secrets.token_hex(32)
        self._make_certificates()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def _make_certificates(self) -> None:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem",
                      "-days", "2", "-subj", "/CN=throw-away benchmark CA")
        self._openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr",
                      "-subj", f"/CN={SERVER_NAME}")
        (self.folder / "extensions").write_text(
            f"subjectAltName=DNS:{SERVER_NAME},IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                      "-CAcreateserial", "-out", "server.pem", "-days", "2",
                      "-extfile", "extensions")
        self.certificate_with_key.write_text(self.certificate.read_text() + self.key.read_text())
        self.certificate_with_key.chmod(0o600)

    def make_ssh_keys(self, keygen: str, environment: dict[str, str]) -> None:
        """Host key and user key, once, by the program `keygen`."""
        for name in ("ssh_host", "ssh_user"):
            if not (self.folder / name).exists():
                subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", "throw-away",
                                "-f", name], cwd=self.folder, check=True, capture_output=True,
                               env={**os.environ, **environment})
