#include "protocol/link/tls/tls_traffic.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace muxsocks {

namespace {

// RFC 8446 section 4: types of messages, and section 6: alerts.
constexpr std::uint8_t new_session_ticket = 4;
constexpr std::uint8_t key_update = 24;
constexpr std::size_t message_header_size = 4;
constexpr std::size_t message_max = 16384;

constexpr std::uint8_t close_notify = 0;
constexpr std::uint8_t unexpected_message = 10;
constexpr std::uint8_t bad_record_mac = 20;
constexpr std::uint8_t record_overflow = 22;
constexpr std::uint8_t user_canceled = 90;

constexpr std::size_t record_count(std::size_t content_bytes) {
    return (content_bytes + tls_content_max - 1) / tls_content_max;
}

} // namespace

tls_traffic::tls_traffic(record_protection send, record_protection receive,
                         std::uint64_t key_update_records)
    : send_(std::move(send)),
      receive_(std::move(receive)),
      key_update_records_(key_update_records) {}

// ---- Receiving

tls_traffic::received tls_traffic::decrypt(std::span<const std::uint8_t>& ciphertext,
                                           std::span<std::uint8_t> plain, output_buffer& out) {
    received result;
    const auto stop = [&](end how, std::uint8_t alert) {
        result.how = how;
        send_alert(alert, out);
        return result;
    };
    for (;;) {
        const auto room = plain.subspan(result.plaintext);
        if (!held_.empty()) {
            const auto size = std::min(room.size(), held_.size() - held_taken_);
            std::copy_n(held_.begin() + static_cast<std::ptrdiff_t>(held_taken_), size,
                        room.begin());
            held_taken_ += size;
            result.plaintext += size;
            result.more = held_taken_ < held_.size();
            if (result.more) return result;
            held_ = std::vector<std::uint8_t>();
            held_taken_ = 0;
            continue;
        }
        if (close_received_) {
            ciphertext = {};
            result.how = end::closed;
            return result;
        }
        if (room.empty()) {
            result.more = !ciphertext.empty();
            return result;
        }
        std::span<const std::uint8_t> record;
        const auto found = reader_.next(ciphertext, record);
        if (found == tls_record_reader::outcome::need_more) return result;
        if (found == tls_record_reader::outcome::not_tls)
            return stop(end::damaged, record_overflow);
        // The content's type, and maybe padding, are decrypted behind it.
        const std::size_t inner = record.size() - tls_header_size - tls_tag_size;
        const bool fits = inner <= room.size();
        if (!fits) held_.resize(inner);
        const auto target = fits ? room.first(inner) : std::span(held_);
        const auto opened = receive_.open(record, target);
        if (!opened || opened->size > tls_content_max) {
            held_ = std::vector<std::uint8_t>();
            return opened ? stop(end::damaged, record_overflow)
                          : stop(end::damaged, bad_record_mac);
        }
        const bool is_data =
            opened->type == static_cast<std::uint8_t>(tls_content::application_data);
        if (is_data && message_.empty()) {
            if (opened->size > 0)
                dataless_ = 0;
            else if (++dataless_ > dataless_max)
                return stop(end::flood, unexpected_message);
            if (fits)
                result.plaintext += opened->size;
            else
                held_.resize(opened->size);
            continue;
        }
        result.how = handle(*opened, target.first(opened->size), result, out);
        if (!fits) held_ = std::vector<std::uint8_t>();
        if (result.how == end::closed) continue; // Takes what is left.
        if (result.how != end::none) return result;
    }
}

tls_traffic::end tls_traffic::handle(const record_protection::opened& what,
                                     std::span<const std::uint8_t> content, received& result,
                                     output_buffer& out) {
    end how = end::breach;
    if (what.type == static_cast<std::uint8_t>(tls_content::alert) && message_.empty())
        how = handle_alert(content, result);
    else if (what.type == static_cast<std::uint8_t>(tls_content::handshake) && !content.empty())
        how = handle_messages(content, out);
    if (how == end::none && ++dataless_ > dataless_max) how = end::flood;
    if (how == end::breach || how == end::flood) send_alert(unexpected_message, out);
    return how;
}

// RFC 8446 section 6: but for two of them every alert ends the connection, whatever its level.
tls_traffic::end tls_traffic::handle_alert(std::span<const std::uint8_t> content,
                                           received& result) {
    if (content.size() != 2) return end::breach;
    result.alert = content[1];
    if (result.alert == user_canceled) return end::none;
    if (result.alert != close_notify) return end::alert;
    close_received_ = true;
    return end::closed;
}

tls_traffic::end tls_traffic::handle_messages(std::span<const std::uint8_t> content,
                                              output_buffer& out) {
    message_.insert(message_.end(), content.begin(), content.end());
    std::size_t at = 0;
    end how = end::none;
    while (how == end::none && message_.size() - at >= message_header_size) {
        const auto rest = std::span<const std::uint8_t>(message_).subspan(at);
        const std::size_t size = message_header_size + std::size_t{rest[1]} * 65536 +
                                 std::size_t{rest[2]} * 256 + rest[3];
        if (size > message_max) return end::breach;
        if (rest.size() < size) break;
        how = handle_message(rest.first(size), rest.size() == size, out);
        at += size;
    }
    message_.erase(message_.begin(), message_.begin() + static_cast<std::ptrdiff_t>(at));
    if (message_.empty()) message_.shrink_to_fit();
    return how;
}

tls_traffic::end tls_traffic::handle_message(std::span<const std::uint8_t> message,
                                             bool last_of_record, output_buffer& out) {
    if (message[0] == new_session_ticket) return end::none;
    // A new key begins with a record (section 5.1).
    if (message[0] != key_update || message.size() != message_header_size + 1 || message[4] > 1 ||
        !last_of_record)
        return end::breach;
    receive_.update();
    const bool answer = message[4] == 1 && !close_sent_;
    return answer && !update_sending_key(out) ? end::internal : end::none;
}

// ---- Sending

bool tls_traffic::encrypt(std::span<const std::uint8_t> plain, output_buffer& out) {
    if (plain.empty()) return true;
    const std::size_t records = record_count(plain.size());
    // Room for an update in front of them, too, so that the buffer grows once.
    out.prepare(plain.size() + (records + 1) * tls_record_overhead + message_header_size + 1);
    if (records_sent_ >= key_update_records_ && !update_sending_key(out)) return false;
    records_sent_ += records;
    return send_.seal(tls_content::application_data, plain, out);
}

bool tls_traffic::update_sending_key(output_buffer& out) {
    static constexpr std::array<std::uint8_t, 5> message{key_update, 0, 0, 1, 0};
    if (!send_.seal(tls_content::handshake, message, out)) return false;
    send_.update();
    records_sent_ = 0;
    ++key_updates_sent_;
    return true;
}

void tls_traffic::close(output_buffer& out) {
    if (close_sent_) return;
    send_alert(close_notify, out);
    close_sent_ = true;
}

void tls_traffic::send_alert(std::uint8_t number, output_buffer& out) {
    const std::uint8_t level = number == close_notify ? 1 : 2;
    if (!close_sent_)
        (void)send_.seal(tls_content::alert, std::array<std::uint8_t, 2>{level, number}, out);
}

} // namespace muxsocks
