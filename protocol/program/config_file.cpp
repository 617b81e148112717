#include "protocol/program/config_file.hpp"

#include "protocol/program/config_error.hpp"
#include "protocol/program/share_link.hpp"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <set>
#include <system_error>
#include <vector>

namespace muxsocks {

namespace {

using nlohmann::json;

/// Far above any configuration: what is larger is not one (a device, a log named by mistake).
constexpr std::size_t config_bytes_max = 16 * 1024 * 1024;

struct file_closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

[[noreturn]] void throw_unreadable(const char* what, const std::string& name, int error) {
    // Inside a container nobody would guess whose rights are missing.
    const std::string who =
        error == EACCES ? " for uid " + std::to_string(::geteuid()) + ", as which this program runs"
                        : "";
    throw config_error(std::string("Cannot read the ") + what + " \"" + name +
                       "\": " + std::generic_category().message(error) + who + ".");
}

std::string read_all(std::FILE* file, const char* what, const std::string& name) {
    // No copy of what may hold a token in a buffer of stdio's.
    std::setvbuf(file, nullptr, _IONBF, 0);
    std::string text;
    std::string piece(64 * 1024, '\0');
    while (const std::size_t n = std::fread(piece.data(), 1, piece.size(), file)) {
        text.append(piece, 0, n);
        if (text.size() > config_bytes_max) {
            throw config_error("\"" + name + "\" is longer than 16 MiB, so it is no " + what + ".");
        }
    }
    if (std::ferror(file) != 0) throw_unreadable(what, name, errno);
    return text;
}

/// "line 3, column 5" of the byte at `offset`; columns count characters, not bytes.
std::string position_text(const std::string& text, std::size_t offset) {
    offset = std::min(offset, text.size());
    const auto here = text.begin() + static_cast<std::ptrdiff_t>(offset);
    const auto line = 1 + std::count(text.begin(), here, '\n');
    const std::size_t line_start = offset == 0 ? std::string::npos : text.rfind('\n', offset - 1);
    const std::size_t first = line_start == std::string::npos ? 0 : line_start + 1;
    const auto starts_character = [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
    };
    const auto column = 1 + std::count_if(text.begin() + static_cast<std::ptrdiff_t>(first), here,
                                          starts_character);
    return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

/// The library's sentence without its prefix and position, and without the text that it read last:
/// that may be part of a secret.
std::string syntax_reason(std::string what) {
    const auto drop_through = [&what](const std::string& end) {
        const std::size_t found = what.find(end);
        if (found != std::string::npos) what.erase(0, found + end.size());
    };
    drop_through("] ");
    drop_through(" - ");
    const std::size_t last_read = what.find("; last read: ");
    if (last_read == std::string::npos) return what;
    const std::size_t expected = what.find("; expected ", last_read);
    return what.substr(0, last_read) + (expected == std::string::npos ? "" : what.substr(expected));
}

/// Where the string begins that ends with the quotation mark at `offset`; for anything else, there.
std::size_t token_start(const std::string& text, std::size_t offset) {
    if (offset >= text.size() || text[offset] != '"') return offset;
    std::size_t start = offset;
    while (start > 0) {
        start = text.rfind('"', start - 1);
        if (start == std::string::npos) return offset;
        if (start == 0 || text[start - 1] != '\\') return start;
    }
    return offset;
}

/// Whether only blanks stand between the character at `offset` and a comma before it.
bool follows_comma(const std::string& text, std::size_t offset) {
    const std::size_t before =
        offset == 0 ? std::string::npos : text.find_last_not_of(" \t\r\n", offset - 1);
    return before != std::string::npos && text[before] == ',';
}

std::string syntax_hint(const std::string& text, std::size_t offset, const std::string& reason) {
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) return "the text is empty";
    if (offset >= text.size()) return "the text ends too early";
    const char found = text[offset];
    if (found == '"' && reason.find("unexpected string") != std::string::npos &&
        (reason.find("expected '}'") != std::string::npos ||
         reason.find("expected ']'") != std::string::npos)) {
        return "a comma is missing before this string";
    }
    if ((found == '}' || found == ']') && follows_comma(text, offset)) {
        return std::string("no comma may stand before '") + found + "'";
    }
    return {};
}

/// Follows the parser through the text and notices a key that an object has twice, of which JSON
/// libraries silently keep one.
class duplicate_key_check {
  public:
    explicit duplicate_key_check(const config_origin& origin) : origin_(origin) {}

    bool operator()(json::parse_event_t event, const json& parsed) {
        switch (event) {
        case json::parse_event_t::object_start:
            open({});
            break;
        case json::parse_event_t::array_start:
            open({.is_array = true});
            break;
        case json::parse_event_t::object_end:
        case json::parse_event_t::array_end:
            levels_.pop_back();
            break;
        case json::parse_event_t::key:
            on_key(parsed.get_ref<const std::string&>());
            break;
        case json::parse_event_t::value:
            count_element();
            break;
        }
        return true;
    }

  private:
    struct level {
        bool is_array = false;
        /// Elements begun so far, of an array.
        std::size_t elements = 0;
        /// Of an object: the key in hand, and all so far.
        std::string key{};
        std::set<std::string> keys{};
    };

    void open(level next) {
        count_element();
        levels_.push_back(std::move(next));
    }

    void count_element() {
        if (!levels_.empty() && levels_.back().is_array) ++levels_.back().elements;
    }

    void on_key(const std::string& key) {
        levels_.back().key = key;
        if (levels_.back().keys.insert(key).second) return;
        throw config_error(origin_.name + ": " + path() + ": this key stands there twice.");
    }

    [[nodiscard]] std::string path() const {
        std::string result;
        for (const level& one : levels_) {
            if (one.is_array) {
                result += "[" + std::to_string(one.elements - 1) + "]";
            } else {
                result += (result.empty() ? "" : ".") + one.key;
            }
        }
        return result;
    }

    const config_origin& origin_;
    std::vector<level> levels_;
};

} // namespace

config_origin config_origin::of_file(const std::filesystem::path& path) {
    if (path == "-") return {"standard input", {}};
    return {path.string(), path.parent_path()};
}

std::string read_config_file(const std::filesystem::path& path, const char* what) {
    const std::string name = config_origin::of_file(path).name;
    // Not to be shown: it is a secret.
    if (name.find(share_link_scheme) != std::string::npos)
        throw config_error(std::string("A share link stands where the name of a ") + what +
                           " is expected: put the link into a file, and give its name to "
                           "\"muxsocks-client import\" or to --link-file.");
    if (path == "-") return read_all(stdin, what, name);
    const std::unique_ptr<std::FILE, file_closer> file(std::fopen(path.c_str(), "re"));
    if (!file) throw_unreadable(what, name, errno);
    return read_all(file.get(), what, name);
}

json parse_config_text(const std::string& text, const config_origin& origin) {
    duplicate_key_check check(origin);
    const auto follow = [&check](int /*depth*/, json::parse_event_t event, json& parsed) {
        return check(event, parsed);
    };
    json result;
    try {
        result = json::parse(text, follow, true, true);
    } catch (const json::parse_error& error) {
        const auto first = text.find_first_not_of(" \t\r\n");
        if (first != std::string::npos && text[first] != '{' &&
            text.find(share_link_scheme) != std::string::npos)
            throw config_error(origin.name +
                               ": this is a share link and no configuration: run from it with "
                               "\"muxsocks-client --link-file FILE\", or make a configuration of "
                               "it with \"muxsocks-client import FILE\".");
        const std::size_t offset = error.byte == 0 ? 0 : error.byte - 1;
        const std::string reason = syntax_reason(error.what());
        const std::string hint = syntax_hint(text, offset, reason);
        throw config_error(origin.name + ", " + position_text(text, token_start(text, offset)) +
                           ": no valid JSON: " + (hint.empty() ? reason : hint) + ".");
    } catch (const json::exception& error) {
        // A number out of range is the one other thing that parsing may find.
        throw config_error(origin.name + ": no valid JSON: " + syntax_reason(error.what()) + ".");
    }
    if (!result.is_object()) {
        throw config_error(origin.name + ": expected an object in braces, found something else.");
    }
    return result;
}

std::string complete_path(const std::string& path, const config_origin& origin) {
    const std::filesystem::path given(path);
    if (given.is_absolute() || origin.folder.empty()) return path;
    return (origin.folder / given).lexically_normal().string();
}

} // namespace muxsocks
