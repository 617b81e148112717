"""The programs that are compared. A peer knows its packages and how its two halves are started."""

from .base import Peer, Running
from .dante import Dante
from .direct import Direct
from .haproxy import HaproxyPair
from .microsocks import Microsocks
from .muxsocks import (Muxsocks, MuxsocksBbr, MuxsocksCubic, MuxsocksForward, MuxsocksHttp,
                       MuxsocksOne, MuxsocksPlain, MuxsocksTwo, MuxsocksV1)
from .shadowsocks import Shadowsocks
from .socat import SocatPair
from .ssh import Ssh
from .trojan import Trojan
from .v2ray import V2ray

# In the order of the tables; the first one is what all others are related to.
ALL: list[Peer] = [Muxsocks(), MuxsocksPlain(), MuxsocksV1(), Direct(), SocatPair(), HaproxyPair(),
                   Ssh(), Trojan(), V2ray(), Shadowsocks(), Microsocks(), MuxsocksTwo(),
                   MuxsocksBbr(), MuxsocksCubic(), MuxsocksOne(), MuxsocksHttp(),
                   MuxsocksForward(), Dante()]

__all__ = ["ALL", "Peer", "Running"]
