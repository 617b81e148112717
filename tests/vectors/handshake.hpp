#pragma once

/// \file
/// The whole frames of the handshake that docs/PROTOCOL.md gives: user laptop, channel binding and
/// resumption on, session a0 a1 .. af.

#include <string>

namespace muxsocks::tests::vectors {

inline const std::string client_hello = "00 00 00 00 40 00 1e " // CTRL on stream 0, 30 bytes
                                        "01 02 00 00 00 03 "    // HELLO, version 2, both features
                                        "00 04 00 00 "          // initial_window 256 KiB
                                        "00 00 00 00 "          // max_streams: none from a server
                                        "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f";
inline const std::string server_hello = "00 00 00 00 40 00 1e 01 02 00 00 00 03 00 04 00 00 "
                                        "00 00 40 00 " // max_streams 16,384
                                        "10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f";
inline const std::string auth = "00 00 00 00 40 00 29 "
                                "02 01 "                // AUTH, method token
                                "06 6c 61 70 74 6f 70 " // laptop
                                "e0 7f f3 82 a7 ba 97 05 4b 6d fc 9a 7b 5a e0 74 "
                                "0e 1d 8c db db ac 86 10 26 b4 5d ed 1a d3 d7 e4";
inline const std::string auth_ok = "00 00 00 00 40 00 35 "
                                   "03 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab ac ad ae af "
                                   "00 01 d4 c0 " // resume_timeout_ms 120,000
                                   "a3 a6 dc aa 4c 3d fb 6f a7 0b 05 1c 97 a5 1f e2 "
                                   "59 e3 71 8a 8f c8 8e 0a e9 23 2f 26 09 34 ff 62";
inline const std::string auth_fail = "00 00 00 00 40 00 02 04 01";

} // namespace muxsocks::tests::vectors
