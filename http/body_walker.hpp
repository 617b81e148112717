#pragma once

/// \file
/// Finds the end of a message's body in bytes that pass by (RFC 9112, sections 6 and 7). It changes
/// and keeps none of them: a body goes on as it came. In a chunked one the lines between the data
/// are read strictly: plain hexadecimal sizes, CR LF, no control bytes, trailers that are fields.

#include "http/head.hpp"

#include <string_view>

namespace muxsocks::http {

///     size --;--> extension --CR--> size_lf --(0)--> trailer ... --> complete
///      ^                              |
///      +--- data_lf <--- data_cr <--- data
class body_walker {
  public:
    body_walker() = default;
    explicit body_walker(const head& of)
        : body_(of.body), left_(of.length), complete_(of.body == framing::none) {}

    /// How many of the bytes belong to the body; all of them unless it ends within, or has a fault
    /// behind them.
    std::size_t take(std::string_view bytes);

    bool complete() const { return complete_; }
    bool failed() const { return failed_; }
    /// Whether the end of the connection ends it as it should.
    bool ends_with_connection() const { return body_ == framing::until_end; }
    /// How many bytes can be taken without looking at them: they belong to the body in any case.
    std::uint64_t sure() const;

    /// For another process that goes on with it: passes all of it to `fields`.
    template <class Fields>
    void each_field(Fields& fields) {
        fields(body_, at_, digits_, left_, line_bytes_, complete_, failed_);
    }

  private:
    enum class at : std::uint8_t {
        size,
        extension,
        size_lf,
        data,
        data_cr,
        data_lf,
        trailer,      ///< The first byte of a line.
        trailer_name, ///< Up to the colon.
        trailer_value,
        trailer_lf,
        end_lf,
    };

    /// One byte of a chunked body that is no data.
    void step(char c);
    void fail() { failed_ = true; }

    framing body_ = framing::none;
    at at_ = at::size;
    unsigned digits_ = 0;
    std::uint64_t left_ = 0; ///< Of the body, or of the chunk.
    std::size_t line_bytes_ = 0;
    bool complete_ = true;
    bool failed_ = false;
};

} // namespace muxsocks::http
