"""What a byte costs at the least: a plain relay of two hops and, with it, each record encrypted once and
decrypted once by this machine's libcrypto."""

import functools
import re
import subprocess

RECORD = 16384  # bytes
RUNS = 3


@functools.lru_cache(None)
def seconds_of_cipher(program: str = "openssl") -> float | None:
    """Processor seconds to encrypt and to decrypt a gigabyte with AES-128-GCM; None if that program
    does not say."""
    rates = []
    for _ in range(RUNS):
        done = subprocess.run([program, "speed", "-evp", "aes-128-gcm", "-bytes", str(RECORD),
                               "-seconds", "1", "-mr"], capture_output=True, text=True, check=False)
        found = re.search(r"^\+F:.*:([\d.]+)$", done.stdout, re.MULTILINE)
        if not found:
            return None
        rates.append(float(found.group(1)))
    return 2e9 / sorted(rates)[RUNS // 2]


def of(relay_seconds: float | None) -> float | None:
    """The limit, in processor seconds a gigabyte, where the plain relay takes so many."""
    cipher = seconds_of_cipher()
    return relay_seconds + cipher if relay_seconds and cipher else None
