#include "benchmarks/load/transfer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <sys/uio.h>

namespace muxsocks::load {

bool request::valid() const {
    return magic == request{}.magic && op >= operation::download && op <= operation::counters;
}

content_sender::content_sender(std::uint64_t seed, std::uint64_t length)
    : block_phase_(content_phase(seed)), left_(length), endless_(length == 0) {
    // A transfer shorter than a block hashes what it sends; only longer ones use the shortcut.
    if (endless_ || length >= content_block_bytes) block_hash_ = content_block_hash(block_phase_);
    begin_chunk();
}

void content_sender::begin_chunk() {
    if (stopped_ || (!endless_ && left_ == 0)) {
        begin_end();
        return;
    }
    payload_bytes_ = content_block_bytes;
    if (!endless_ && left_ < payload_bytes_) payload_bytes_ = static_cast<std::size_t>(left_);
    left_ -= endless_ ? 0 : payload_bytes_;
    bytes_ += payload_bytes_;
    if (payload_bytes_ == content_block_bytes) {
        hash_.append_block(block_hash_, content_block_bytes / content_hash::group_bytes);
    } else {
        const std::size_t first = std::min(payload_bytes_, content_block_bytes - block_phase_);
        hash_.update(content_block().subspan(block_phase_, first));
        hash_.update(content_block().first(payload_bytes_ - first));
    }
    const chunk_header header{.length = static_cast<std::uint32_t>(payload_bytes_)};
    std::memcpy(head_.data(), &header, sizeof header);
    head_bytes_ = sizeof header;
    written_ = 0;
}

void content_sender::begin_end() {
    phase_ = phase::end;
    const chunk_header header;
    const report what = sent();
    std::memcpy(head_.data(), &header, sizeof header);
    std::memcpy(head_.data() + sizeof header, &what, sizeof what);
    head_bytes_ = sizeof header + sizeof what;
    payload_bytes_ = 0;
    written_ = 0;
}

void content_sender::stop() { stopped_ = true; }

std::optional<std::size_t> content_sender::write_once(int socket) {
    if (finished()) return 0;
    std::array<iovec, 3> parts{};
    std::size_t count = 0;
    const auto add = [&](const std::uint8_t* data, std::size_t size) {
        if (size == 0) return;
        parts[count++] = {const_cast<std::uint8_t*>(data), size};
    };
    if (written_ < head_bytes_) add(head_.data() + written_, head_bytes_ - written_);
    const std::size_t payload_written = written_ > head_bytes_ ? written_ - head_bytes_ : 0;
    const std::size_t left = payload_bytes_ - payload_written;
    const std::size_t start = (block_phase_ + payload_written) % content_block_bytes;
    const std::size_t first = std::min(left, content_block_bytes - start);
    add(content_block().data() + start, first);
    add(content_block().data(), left - first);

    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent_bytes = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent_bytes < 0) {
        if (errno == EAGAIN || errno == EINTR) return 0;
        return std::nullopt;
    }
    written_ += static_cast<std::size_t>(sent_bytes);
    const std::size_t payload_now = written_ > head_bytes_ ? written_ - head_bytes_ : 0;
    if (written_ == head_bytes_ + payload_bytes_) {
        if (phase_ == phase::end) {
            phase_ = phase::finished;
        } else {
            begin_chunk();
        }
    }
    return payload_now - payload_written;
}

void content_receiver::take_header() {
    chunk_header header;
    std::memcpy(&header, head_.data(), sizeof header);
    if (header.mark != chunk_header::mark_value || header.length > content_block_bytes) {
        state_ = state::broken;
    } else if (header.length == 0) {
        in_end_ = true;
    } else {
        chunk_left_ = header.length;
    }
    head_bytes_ = 0;
}

content_receiver::state content_receiver::take(std::span<const std::uint8_t> bytes) {
    while (!bytes.empty() && state_ == state::receiving) {
        if (chunk_left_ != 0) {
            const std::size_t part = std::min<std::size_t>(chunk_left_, bytes.size());
            hash_.update(bytes.first(part));
            bytes_ += part;
            chunk_left_ -= static_cast<std::uint32_t>(part);
            bytes = bytes.subspan(part);
            continue;
        }
        const std::size_t wanted = in_end_ ? sizeof(report) : sizeof(chunk_header);
        const std::size_t part = std::min(wanted - head_bytes_, bytes.size());
        std::memcpy(head_.data() + head_bytes_, bytes.data(), part);
        head_bytes_ += part;
        bytes = bytes.subspan(part);
        if (head_bytes_ < wanted) break;
        if (in_end_) {
            std::memcpy(&claimed_, head_.data(), sizeof claimed_);
            state_ = state::finished;
        } else {
            take_header();
        }
    }
    if (!bytes.empty()) state_ = state::broken;
    return state_;
}

} // namespace muxsocks::load
