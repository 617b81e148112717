#pragma once

/// \file
/// The turn of one link that is being laid: frames, one behind the other, in a chunk.

#include "protocol/session/link_state.hpp"

#include <cassert>
#include <cstring>

namespace muxsocks {

class turn {
  public:
    /// Begins a turn of `size` bytes at most, but `size_min` if its chunk has them.
    void open(link_state& on, const kept_frames::area& where, std::size_t size,
              std::size_t size_min) {
        link_ = &on;
        area_ = where;
        area_.end = std::min(area_.end, area_.begin + std::max(size, size_min));
        at_ = area_.begin;
        kept_ = 0;
        asks_ = false;
        for_datagrams_ = false;
    }
    /// One that carries datagrams and control frames only, as far as its chunk goes.
    void open_for_datagrams(link_state& on, const kept_frames::area& where) {
        open(on, where, where.end - where.begin, 0);
        for_datagrams_ = true;
    }
    bool for_datagrams() const { return for_datagrams_; }
    std::size_t laid() const { return at_ - area_.begin; }
    link_state* link() const { return link_; }
    bool open() const { return link_ != nullptr; }
    bool takes_kept() const { return link_ && area_.kept && !for_datagrams_; }
    bool rst_only() const { return area_.rst_only; }
    std::size_t room() const {
        assert(at_ <= area_.end);
        return area_.end - at_;
    }
    /// A read of less is not worth its system call.
    std::size_t read_min() const { return std::min<std::size_t>(1024, area_.end / 8); }
    std::uint64_t kept() const { return kept_; }

    void lay(const frame_header& header, bytes_view payload) {
        encode_header(here(), header);
        lay_at(frame_header_size, payload);
        at_ += frame_header_size + payload.size();
    }
    /// A frame of stream bytes that says where they belong, if the header has room for it.
    void lay_data(const frame_header& header, std::uint64_t offset, bytes_view bytes) {
        const auto size = write_data_header(header, offset);
        lay_at(size, bytes);
        at_ += size + bytes.size();
    }
    /// The same for bytes that are in their place already.
    void skip_data(const frame_header& header, std::uint64_t offset, std::size_t bytes) {
        at_ += write_data_header(header, offset) + bytes;
    }
    /// A frame whose payload is in its place already.
    void skip(const frame_header& header) {
        encode_header(here(), header);
        at_ += frame_header_size + header.length;
    }
    /// Whole frames, as they are.
    void lay_raw(bytes_view frames) {
        lay_at(0, frames);
        at_ += frames.size();
    }
    /// The frame that was laid last is kept.
    void count_kept() { ++kept_; }
    /// Something was laid that the peer answers, in the end.
    void asks() { asks_ = true; }
    bool asked() const { return asks_; }

    /// `ahead` bytes behind what has been laid.
    std::uint8_t* here(std::size_t ahead = 0) const { return area_.chunk.data() + at_ + ahead; }

    /// The turn is over; its bytes.
    bytes_view close(chunk_ref& keep) {
        const bytes_view bytes{area_.chunk.data() + area_.begin, at_ - area_.begin};
        link_->kept.close(area_, at_, kept_);
        keep = std::move(area_.chunk);
        area_ = {};
        link_ = nullptr;
        for_datagrams_ = false;
        return bytes;
    }

  private:
    void lay_at(std::size_t ahead, bytes_view bytes) {
        if (!bytes.empty()) std::memcpy(here(ahead), bytes.data(), bytes.size());
    }
    std::size_t write_data_header(const frame_header& header, std::uint64_t offset) {
        encode_header(here(), header);
        if (offset == no_offset) return frame_header_size;
        store_u64(here(frame_header_size), offset);
        return data_header_size;
    }

  public:
    static constexpr auto no_offset = ~std::uint64_t{0}; ///< Version 1.

  private:
    link_state* link_ = nullptr;
    kept_frames::area area_;
    std::size_t at_ = 0; ///< Where the next frame is laid.
    std::uint64_t kept_ = 0;
    bool asks_ = false;
    bool for_datagrams_ = false;
};

} // namespace muxsocks
