#include "protocol/link/tls/tls_record_reader.hpp"

#include <algorithm>

namespace muxsocks {

tls_record_reader::outcome tls_record_reader::next(std::span<const std::uint8_t>& input,
                                                   std::span<const std::uint8_t>& record) {
    if (delivered_) {
        partial_ = std::vector<std::uint8_t>(); // {} would keep its memory.
        delivered_ = false;
    }
    const auto keep = [&](std::size_t size) {
        const auto piece = input.first(std::min(input.size(), size));
        partial_.insert(partial_.end(), piece.begin(), piece.end());
        input = input.subspan(piece.size());
    };
    if (partial_.empty()) {
        if (input.size() >= tls_header_size) {
            if (judge(input) != outcome::record) return outcome::not_tls;
            const std::size_t size = size_of(input);
            if (input.size() >= size) {
                record = input.first(size);
                input = input.subspan(size);
                return outcome::record;
            }
            partial_.reserve(size);
        }
        keep(input.size());
        return outcome::need_more;
    }
    if (partial_.size() < tls_header_size) {
        keep(tls_header_size - partial_.size());
        if (partial_.size() < tls_header_size) return outcome::need_more;
        if (judge(partial_) != outcome::record) return outcome::not_tls;
        partial_.reserve(size_of(partial_));
    }
    keep(size_of(partial_) - partial_.size());
    if (partial_.size() < size_of(partial_)) return outcome::need_more;
    record = partial_;
    delivered_ = true;
    return outcome::record;
}

// The version is part of what is authenticated (RFC 8446 section 5.2).
tls_record_reader::outcome tls_record_reader::judge(std::span<const std::uint8_t> header) {
    const std::size_t body = size_of(header) - tls_header_size;
    const bool possible = header[0] == static_cast<std::uint8_t>(tls_content::application_data) &&
                          body > tls_tag_size && body <= tls_body_max;
    return possible ? outcome::record : outcome::not_tls;
}

std::size_t tls_record_reader::size_of(std::span<const std::uint8_t> header) {
    return tls_header_size + std::size_t{header[3]} * 256 + header[4];
}

} // namespace muxsocks
