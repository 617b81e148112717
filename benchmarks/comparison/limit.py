"""What a byte costs at the least: a plain relay of two hops and, with it, each record encrypted once and
decrypted once by this machine's libcrypto."""

import re
import subprocess

RECORD = 16384  # bytes
RUNS = 3


def seconds_of_cipher() -> float | None:
    """Processor seconds to encrypt and to decrypt a gigabyte with AES-128-GCM; None if openssl does
    not say."""
    rates = []
    for _ in range(RUNS):
        try:
            done = subprocess.run(["openssl", "speed", "-evp", "aes-128-gcm", "-bytes", str(RECORD),
                                   "-seconds", "1", "-mr"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        found = re.search(r"^\+F:.*:([\d.]+)$", done.stdout, re.MULTILINE)
        if not found:
            return None
        rates.append(float(found.group(1)))
    return 2e9 / sorted(rates)[RUNS // 2]


def of(relay_seconds: float | None, cipher_seconds: float | None) -> float | None:
    """The limit, in processor seconds a gigabyte, where plain relay and cipher take so many."""
    return relay_seconds + cipher_seconds if relay_seconds and cipher_seconds else None
