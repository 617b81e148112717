#include "benchmarks/load/content.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace muxsocks::load {

namespace {

/// Odd, with well-mixed bits (the multiplier of Knuth's MMIX generator).
constexpr std::uint64_t multiplier = 6364136223846793005U;

constexpr std::size_t content_groups = content_block_bytes / content_hash::group_bytes;

std::uint64_t power(std::uint64_t base, std::uint64_t exponent) {
    std::uint64_t result = 1;
    for (; exponent != 0; exponent >>= 1U) {
        if ((exponent & 1U) != 0) result *= base;
        base *= base;
    }
    return result;
}

/// splitmix64: every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31U);
}

std::vector<std::uint8_t> make_block() {
    std::vector<std::uint8_t> block(content_block_bytes);
    std::uint64_t state = 0;
    for (std::size_t i = 0; i < block.size(); i += sizeof(std::uint64_t)) {
        state += 0x9e3779b97f4a7c15U;
        const std::uint64_t word = mix(state);
        std::memcpy(block.data() + i, &word, sizeof word);
    }
    return block;
}

} // namespace

void content_hash::take_groups(const std::uint8_t* bytes, std::size_t groups) {
    auto lanes = lanes_; // a local copy stays in registers
    for (; groups != 0; --groups, bytes += group_bytes) {
        for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
            std::uint64_t word = 0;
            std::memcpy(&word, bytes + lane * sizeof word, sizeof word);
            lanes[lane] = lanes[lane] * multiplier + word;
        }
    }
    lanes_ = lanes;
}

void content_hash::update(std::span<const std::uint8_t> bytes) {
    bytes_ += bytes.size();
    if (tail_bytes_ != 0) {
        const std::size_t part = std::min(group_bytes - tail_bytes_, bytes.size());
        std::copy_n(bytes.begin(), part, tail_.begin() + static_cast<std::ptrdiff_t>(tail_bytes_));
        tail_bytes_ += part;
        bytes = bytes.subspan(part);
        if (tail_bytes_ < group_bytes) return;
        take_groups(tail_.data(), 1);
        tail_bytes_ = 0;
    }
    const std::size_t groups = bytes.size() / group_bytes;
    take_groups(bytes.data(), groups);
    bytes = bytes.subspan(groups * group_bytes);
    std::copy(bytes.begin(), bytes.end(), tail_.begin());
    tail_bytes_ = bytes.size();
}

void content_hash::append_block(const content_hash& block, std::uint64_t groups) {
    const std::uint64_t factor = power(multiplier, groups);
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
        lanes_[lane] = lanes_[lane] * factor + block.lanes_[lane];
    }
    bytes_ += groups * group_bytes;
}

std::uint64_t content_hash::value() const {
    content_hash ended = *this;
    if (ended.tail_bytes_ != 0) {
        std::fill(ended.tail_.begin() + static_cast<std::ptrdiff_t>(ended.tail_bytes_),
                  ended.tail_.end(), std::uint8_t{0});
        ended.take_groups(ended.tail_.data(), 1);
    }
    std::uint64_t result = mix(ended.bytes_);
    for (const std::uint64_t lane : ended.lanes_) {
        result = mix(result * multiplier + lane);
    }
    return result;
}

std::span<const std::uint8_t> content_block() {
    static const std::vector<std::uint8_t> block = make_block();
    return block;
}

std::size_t content_phase(std::uint64_t seed) {
    return static_cast<std::size_t>(mix(seed) % content_groups) * content_hash::group_bytes;
}

content_hash content_block_hash(std::size_t phase) {
    content_hash hash;
    hash.update(content_block().subspan(phase));
    hash.update(content_block().first(phase));
    return hash;
}

} // namespace muxsocks::load
