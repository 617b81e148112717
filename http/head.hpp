#pragma once

/// \file
/// Heads of HTTP/1.0 and HTTP/1.1 messages (RFC 9112): the start line, the fields, and what they
/// say of the body's length. Strict, for what two parsers read differently is a way around both of
/// them: bare CR and LF, folded lines, white space in front of a colon, control bytes, names that
/// are no token, lengths that contradict each other are all refused. Views point into what was
/// parsed; no byte is kept.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace muxsocks::http {

inline constexpr std::size_t head_bytes_max = 64 * 1024;
inline constexpr std::size_t fields_max = 256;

/// What is wrong with a message, as the status for who has sent it, if it is a request (RFC 9110,
/// section 15); 0 if nothing is.
struct fault {
    unsigned status = 0;
    /// A full sentence.
    std::string_view text{};

    explicit operator bool() const { return status != 0; }
};

struct field {
    std::string_view name;
    std::string_view value; ///< Without the white space around it.
};

/// Names of fields, and most of HTTP's words, do not distinguish upper and lower case; ASCII only.
bool same_word(std::string_view a, std::string_view b);
/// Whether the word is an element of a list such as Connection's (RFC 9110, section 5.6.1).
bool lists(std::string_view list, std::string_view word);

/// How the end of a body is known (RFC 9112, section 6.3).
enum class framing : std::uint8_t {
    none,     ///< There is none.
    length,   ///< Content-Length.
    chunked,  ///< Transfer-Encoding.
    until_end ///< It ends with its connection. Answers only.
};

/// What requests and answers have in common.
struct head {
    unsigned minor = 1; ///< Of HTTP/1.0 or HTTP/1.1.
    std::vector<field> fields{};
    framing body = framing::none;
    std::uint64_t length = 0; ///< With framing::length.
    /// Whether Connection has "close", or "keep-alive".
    bool says_close = false;
    bool says_keep_alive = false;
    /// Whether there is an Upgrade that Connection names.
    bool upgrade = false;

    /// The value of the first field of that name; empty without one.
    std::string_view value(std::string_view name) const;
    bool has(std::string_view name) const;
    /// Whether the connection is to be used again, by the rules of its version.
    bool persists() const { return !says_close && (minor >= 1 || says_keep_alive); }
};

struct request_head : head {
    std::string_view method{};
    std::string_view target{};
};

struct answer_head : head {
    unsigned status = 0;
    std::string_view status_line{}; ///< Without its CRLF.

    /// 100 to 199: another answer follows, but for 101.
    bool interim() const { return status < 200 && status != 101; }
};

/// Where a head ends, found while its bytes come in. A head that must be refused is known as such
/// with the byte that makes it so.
class head_end {
  public:
    /// `bytes` is all that has come, from the head's beginning. Returns the head's size with the
    /// empty line, or 0 while that is not there; also 0 with a fault.
    std::size_t find(std::string_view bytes);
    const http::fault& fault() const { return fault_; }
    /// The next head.
    void restart() { *this = {}; }

  private:
    std::size_t scanned_ = 0;
    std::size_t line_ = 0; ///< Where the line begins that is being scanned.
    std::size_t lines_ = 0;
    http::fault fault_;
};

/// `bytes` is a head as head_end has found it. Fills in `parsed` as far as the first fault.
fault parse(std::string_view bytes, request_head& parsed);
/// `to_method` is the request's: what there is of a body depends on it.
fault parse(std::string_view bytes, answer_head& parsed, std::string_view to_method);

/// RFC 9110, section 5.6.2.
bool is_token(std::string_view text);

} // namespace muxsocks::http
