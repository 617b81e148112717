#include "http/head.hpp"

#include <algorithm>
#include <charconv>

namespace muxsocks::http {
namespace {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

constexpr std::array<bool, 256> make_token_table() {
    std::array<bool, 256> table{};
    for (unsigned c = 0; c < 128; ++c)
        table[c] = is_digit(static_cast<char>(c)) || is_letter(static_cast<char>(c));
    for (const char c :
         {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'})
        table[static_cast<unsigned char>(c)] = true;
    return table;
}
constexpr auto token_table = make_token_table();

constexpr fault bare_line_end{400, "A line of the head ends with something else than CR LF."};
constexpr fault control_byte{400, "There is a control byte in the head."};
constexpr fault folded{400, "A field is continued on a second line, which is obsolete."};
constexpr fault too_long{431, "The head has more than 65536 bytes."};
constexpr fault too_many{431, "The head has more than 256 fields."};
constexpr fault bad_request_line{400, "The first line is no request of HTTP/1.1."};
constexpr fault bad_status_line{400, "The first line is no answer of HTTP/1.1."};
constexpr fault bad_version{505, "Only HTTP/1.0 and HTTP/1.1 are understood."};
constexpr fault bad_field{400, "A line of the head is no field."};
constexpr fault bad_length{400, "Content-Length is not one decimal number."};
constexpr fault two_framings{400, "There are both Transfer-Encoding and Content-Length."};
constexpr fault bad_coding{501, "The transfer coding is another one than \"chunked\" alone."};
constexpr fault old_coding{400, "HTTP/1.0 has no transfer codings."};

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back()))
        text.remove_suffix(1);
    return text;
}

/// Calls `function` with each element of a list of a field.
template <typename Function>
void for_each_element(std::string_view list, Function function) {
    while (!list.empty()) {
        const auto comma = std::min(list.find(','), list.size());
        if (const auto element = trimmed(list.substr(0, comma)); !element.empty())
            function(element);
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
}

/// "HTTP/1.1" in front of `text`. Others of its form are another fault than no version at all.
fault take_version(std::string_view text, unsigned& minor, const fault& none) {
    if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || !is_digit(text[5]) || text[6] != '.' ||
        !is_digit(text[7]))
        return none;
    minor = static_cast<unsigned>(text[7] - '0');
    return text[5] == '1' && minor <= 1 ? fault{} : bad_version;
}

fault take_fields(std::string_view lines, head& parsed) {
    while (!lines.empty()) {
        const auto end = lines.find('\r');
        const auto line = lines.substr(0, end);
        lines.remove_prefix(end + 2);
        if (line.empty()) break;
        const auto colon = line.find(':');
        if (colon == line.npos || !is_token(line.substr(0, colon))) return bad_field;
        if (parsed.fields.size() == fields_max) return too_many;
        parsed.fields.push_back({line.substr(0, colon), trimmed(line.substr(colon + 1))});
    }
    return {};
}

fault take_length(std::string_view text, std::uint64_t& length) {
    // No number of 19 digits is too large for its type.
    if (text.empty() || text.size() > 18 || !std::all_of(text.begin(), text.end(), is_digit))
        return bad_length;
    (void)std::from_chars(text.data(), text.data() + text.size(), length);
    return {};
}

/// What the fields say of the body and the connection, whatever the message.
fault take_meaning(head& parsed) {
    const field* coding = nullptr;
    const field* length = nullptr;
    bool names_upgrade = false;
    bool has_upgrade = false;
    for (const auto& each : parsed.fields) {
        if (same_word(each.name, "content-length")) {
            if (length) return bad_length;
            length = &each;
        } else if (same_word(each.name, "transfer-encoding")) {
            if (coding) return bad_coding;
            coding = &each;
        } else if (same_word(each.name, "connection") || same_word(each.name, "proxy-connection")) {
            for_each_element(each.value, [&](std::string_view element) {
                if (same_word(element, "close")) parsed.says_close = true;
                if (same_word(element, "keep-alive")) parsed.says_keep_alive = true;
                if (same_word(element, "upgrade")) names_upgrade = true;
            });
        } else if (same_word(each.name, "upgrade")) {
            has_upgrade = true;
        }
    }
    parsed.upgrade = names_upgrade && has_upgrade && parsed.minor >= 1;
    if (coding && length) return two_framings;
    if (coding && !same_word(coding->value, "chunked")) return bad_coding;
    if (coding && parsed.minor == 0) return old_coding;
    if (coding) parsed.body = framing::chunked;
    if (!length) return {};
    if (const auto wrong = take_length(length->value, parsed.length)) return wrong;
    parsed.body = parsed.length == 0 ? framing::none : framing::length;
    return {};
}

bool is_target(std::string_view text) {
    return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
        const auto value = static_cast<unsigned char>(c);
        return value <= 0x20 || value == 0x7f || value == '#';
    });
}

} // namespace

bool same_word(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                              [](char x, char y) { return lower(x) == lower(y); });
}

bool lists(std::string_view list, std::string_view word) {
    bool found = false;
    for_each_element(list, [&](std::string_view each) { found = found || same_word(each, word); });
    return found;
}

bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return token_table[static_cast<unsigned char>(c)];
    });
}

std::string_view head::value(std::string_view name) const {
    for (const auto& each : fields)
        if (same_word(each.name, name)) return each.value;
    return {};
}

bool head::has(std::string_view name) const {
    return std::any_of(fields.begin(), fields.end(),
                       [name](const field& each) { return same_word(each.name, name); });
}

std::size_t head_end::find(std::string_view bytes) {
    for (; !fault_ && scanned_ < bytes.size(); ++scanned_) {
        if (scanned_ == head_bytes_max) {
            fault_ = too_long;
            break;
        }
        const auto c = bytes[scanned_];
        const bool after_cr = scanned_ > line_ && bytes[scanned_ - 1] == '\r';
        if (after_cr != (c == '\n')) {
            fault_ = bare_line_end;
        } else if (c == '\n') {
            const bool empty = scanned_ == line_ + 1;
            if (empty && lines_ > 0) return ++scanned_;
            ++lines_;
            line_ = scanned_ + 1;
        } else if (lines_ > 0 && scanned_ == line_ && is_blank(c)) {
            fault_ = folded;
        } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
            fault_ = control_byte;
        }
    }
    return 0;
}

fault parse(std::string_view bytes, request_head& parsed) {
    const auto line_end = bytes.find('\r');
    const auto line = bytes.substr(0, line_end);
    const auto first = line.find(' ');
    const auto last = line.rfind(' ');
    if (first == line.npos || last == first) return bad_request_line;
    parsed.method = line.substr(0, first);
    parsed.target = line.substr(first + 1, last - first - 1);
    if (!is_token(parsed.method) || !is_target(parsed.target)) return bad_request_line;
    if (const auto wrong = take_version(line.substr(last + 1), parsed.minor, bad_request_line))
        return wrong;
    if (const auto wrong = take_fields(bytes.substr(line_end + 2), parsed)) return wrong;
    const auto hosts =
        std::count_if(parsed.fields.begin(), parsed.fields.end(),
                      [](const field& each) { return same_word(each.name, "host"); });
    if (hosts > 1) return {400, "There is more than one Host."};
    return take_meaning(parsed);
}

fault parse(std::string_view bytes, answer_head& parsed, std::string_view to_method) {
    const auto line_end = bytes.find('\r');
    parsed.status_line = bytes.substr(0, line_end);
    const auto line = parsed.status_line;
    // Servers leave out the reason, and the space in front of it, too.
    if (line.size() < 12 || line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) ||
        !is_digit(line[11]) || line[9] == '0' || (line.size() > 12 && line[12] != ' '))
        return bad_status_line;
    if (const auto wrong = take_version(line.substr(0, 8), parsed.minor, bad_status_line))
        return wrong;
    (void)std::from_chars(line.data() + 9, line.data() + 12, parsed.status);
    if (const auto wrong = take_fields(bytes.substr(line_end + 2), parsed)) return wrong;
    const auto wrong = take_meaning(parsed);
    if (wrong) return wrong;
    const bool framed = parsed.body != framing::none || parsed.has("content-length");
    const bool bodyless =
        parsed.status < 200 || parsed.status == 204 || parsed.status == 304 || to_method == "HEAD";
    if (bodyless)
        parsed.body = framing::none;
    else if (!framed)
        parsed.body = framing::until_end;
    return {};
}

} // namespace muxsocks::http
