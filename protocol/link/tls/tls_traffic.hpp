#pragma once

/// \file
/// What a TLS 1.3 connection carries behind its handshake (RFC 8446 sections 4.6, 5 and 6): data
/// both ways, updates of keys, alerts, and the ends of both directions. Single-threaded, and moved
/// between calls at will.
///
/// Of messages behind the handshake a peer may send key updates, and a server tickets, which are
/// ignored: something in front of it may end TLS. Whatever carries no data costs work and brings
/// nothing, so only `dataless_max` records of it may come in a row.

#include "protocol/link/tls/tls_record_reader.hpp"

namespace muxsocks {

class tls_traffic {
  public:
    static constexpr unsigned dataless_max = 16;

    /// A key is used for `key_update_records` records, and for what remains of a call.
    tls_traffic(record_protection send, record_protection receive,
                std::uint64_t key_update_records);

    enum class end : std::uint8_t {
        none,
        closed,   ///< The peer's close_notify. Not an error.
        alert,    ///< The peer ended the connection with the alert of that number.
        damaged,  ///< A record failed its authentication, or is none.
        breach,   ///< What the peer sent is authentic, but not allowed.
        flood,    ///< More than dataless_max records in a row without data.
        internal, ///< libcrypto failed.
    };
    struct received {
        end how = end::none;
        std::uint8_t alert = 0;
        std::size_t plaintext = 0; ///< Bytes written to `plain`; good whatever the end.
        bool more = false;         ///< Whether `plain` was too small.
    };
    /// Takes `ciphertext` from its front, all of it unless `more` or at an end. Its own answers, an
    /// alert among them, are appended to `out`. Not to be called again behind an end but `closed`.
    received decrypt(std::span<const std::uint8_t>& ciphertext, std::span<std::uint8_t> plain,
                     output_buffer& out);

    /// Appends all of `plain`, as full records and a rest. False where libcrypto fails.
    bool encrypt(std::span<const std::uint8_t> plain, output_buffer& out);

    /// Appends close_notify, once.
    void close(output_buffer& out);
    bool close_sent() const { return close_sent_; }
    bool close_received() const { return close_received_; }
    std::uint64_t key_updates_sent() const { return key_updates_sent_; }

  private:
    bool update_sending_key(output_buffer& out);
    end handle(const record_protection::opened& what, std::span<const std::uint8_t> content,
               received& result, output_buffer& out);
    end handle_alert(std::span<const std::uint8_t> content, received& result);
    end handle_messages(std::span<const std::uint8_t> content, output_buffer& out);
    end handle_message(std::span<const std::uint8_t> message, bool last_of_record,
                       output_buffer& out);
    void send_alert(std::uint8_t number, output_buffer& out);

    record_protection send_;
    record_protection receive_;
    tls_record_reader reader_;
    std::vector<std::uint8_t> held_; ///< Plaintext of a record for which there was no room.
    std::size_t held_taken_ = 0;
    std::vector<std::uint8_t> message_; ///< The begin of one that goes on in the next record.
    unsigned dataless_ = 0;
    std::uint64_t key_update_records_;
    std::uint64_t records_sent_ = 0; ///< Under the present key.
    std::uint64_t key_updates_sent_ = 0;
    bool close_sent_ = false;
    bool close_received_ = false;
};

} // namespace muxsocks
