#include "protocol/error.hpp"

namespace muxsocks {
namespace {

struct category final : std::error_category {
    const char* name() const noexcept override { return "muxsocks"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::illegal_flags:
            return "the peer sent a frame with an illegal combination of flags";
        case errc::frame_on_stream_zero:
            return "the peer sent a stream's frame on stream 0";
        case errc::ping_on_stream:
            return "the peer sent PING or PONG on a stream other than 0";
        case errc::bad_frame_length:
            return "the peer sent a frame whose length does not fit its type";
        case errc::frame_before_syn:
            return "the peer sent a frame on a stream that was never opened";
        case errc::bad_stream_id:
            return "the peer opened a stream with an id that is not its own or does not rise";
        case errc::bad_control_frame:
            return "the peer sent a control frame with fields that do not fit";
        case errc::unknown_control_frame:
            return "the peer sent a control frame of an unknown type below 0x80";
        case errc::control_out_of_order:
            return "the peer sent a frame that is not allowed at this point of the session";
        case errc::credit_too_large:
            return "the peer granted credit above 2^62";
        case errc::ack_beyond_sent:
            return "the peer acknowledged frames that were never sent";
        case errc::bad_offset:
            return "the peer sent bytes at an offset above 2^62";
        case errc::bad_syn:
            return "the peer set SYN on another frame than the first one of a stream of its own";
        case errc::too_many_ids:
            return "the peer used more stream ids at once than max_streams allows";
        case errc::bad_drop:
            return "the peer gave up a link that there never was, or the one that said so";
        case errc::version_mismatch:
            return "the peer speaks no common version of the protocol";
        case errc::binding_mismatch:
            return "one side binds authentication to the TLS channel and the other does not: set "
                   "tls.channel_binding alike on client and server (false only where a load "
                   "balancer ends TLS)";
        case errc::bad_server_proof:
            return "the server did not prove that it knows the token: wrong server, or somebody "
                   "in between";
        case errc::authentication_failed:
            return "authentication failed: check the user's name and token on both sides";
        case errc::v1_refused:
            return "the peer speaks protocol version 1, which allow_v1 does not allow";
        case errc::handshake_timeout:
            return "the peer did not finish the handshake in time";
        case errc::flood_of_resets:
            return "the peer opened and reset streams faster than the limit";
        case errc::flood_of_empty_frames:
            return "the peer sent too many empty frames";
        case errc::flood_of_credits:
            return "the peer sent too many tiny grants of credit";
        case errc::flood_of_pings:
            return "the peer sent too many PING frames";
        case errc::flood_of_extensions:
            return "the peer sent too many control frames of unknown types";
        case errc::flood_of_refusals:
            return "the peer opened too many streams above its limit";
        case errc::frame_timeout:
            return "the peer began a frame and did not complete it in time";
        case errc::keepalive_timeout:
            return "the peer was silent for longer than the keepalive allows";
        case errc::link_lost:
            return "the link was lost";
        case errc::link_given_up:
            return "the peer has given the link up";
        case errc::link_replaced:
            return "another link took the place of this one";
        case errc::bad_join_answer:
            return "the server did not prove that it knows the session";
        case errc::closed_by_peer:
            return "the peer closed the session";
        case errc::closed_locally:
            return "the session was closed";
        case errc::resume_refused:
            return "the server does not know the session any more";
        case errc::ids_exhausted:
            return "the session has used all stream ids";
        case errc::going_away:
            return "the peer takes no new streams";
        case errc::drain_timeout:
            return "the stream did not end within the time to drain";
        case errc::acks_withheld:
            return "the peer has acknowledged nothing for longer than a link may go without";
        case errc::stream_reset_by_peer:
            return "the peer reset the stream";
        case errc::stream_refused:
            return "the peer refused the stream";
        case errc::stream_cancelled:
            return "the connection was reset at the other end";
        case errc::stream_flow_control:
            return "the stream carried more bytes than its credit";
        case errc::stream_shed:
            return "the stream was ended to stay within the memory limit";
        case errc::stream_internal:
            return "the peer ended the stream for a failure of its own";
        case errc::stream_denied:
            return "the stream was denied by a rule";
        case errc::stream_timeout:
            return "the stream timed out";
        case errc::user_expired:
            return "the user's access has expired";
        }
        return "unknown error " + std::to_string(value);
    }
};

} // namespace

const std::error_category& protocol_category() {
    static const category instance;
    return instance;
}

std::error_code error_of(reset_code code) {
    switch (code) {
    case reset_code::refused:
        return errc::stream_refused;
    case reset_code::cancelled:
        return errc::stream_cancelled;
    case reset_code::flow_control:
        return errc::stream_flow_control;
    case reset_code::internal:
        return errc::stream_internal;
    case reset_code::shed:
        return errc::stream_shed;
    case reset_code::denied:
        return errc::stream_denied;
    }
    return errc::stream_reset_by_peer;
}

} // namespace muxsocks
