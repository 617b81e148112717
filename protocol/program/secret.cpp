#include "protocol/program/secret.hpp"

#include "protocol/link/tls/crypto.hpp"
#include "protocol/program/config_error.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace muxsocks {

namespace {

/// That of the test vectors in docs/PROTOCOL.md.
constexpr std::string_view documented_token = "0123456789abcdefghijklmnopqrstuv";
constexpr std::size_t secret_bytes_max = 64 * 1024;

class descriptor {
  public:
    explicit descriptor(int fd) : fd_(fd) {}
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    [[nodiscard]] int fd() const { return fd_; }

  private:
    int fd_;
};

[[noreturn]] void throw_unreadable(const std::string& path, const std::string& where, int error) {
    throw config_error(where + ": cannot read \"" + path +
                       "\": " + std::generic_category().message(error) + ".");
}

int open_for_reading(const std::string& path, const std::string& where, int flags = 0) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) throw_unreadable(path, where, errno);
    return fd;
}

bool is_decimal(char c) { return c >= '0' && c <= '9'; }

bool is_hexadecimal(char c) {
    return is_decimal(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_visible(char c) { return c > ' ' && c <= '~'; }

} // namespace

sha256_digest token_digest(std::string_view token) {
    const std::vector<std::uint8_t> bytes(token.begin(), token.end());
    return sha256(bytes);
}

std::optional<std::string> token_fault(std::string_view token) {
    if (!std::all_of(token.begin(), token.end(), is_visible)) {
        return "a token has no blanks and no characters outside of ASCII";
    }
    std::size_t needed = 22;
    if (std::all_of(token.begin(), token.end(), is_hexadecimal)) needed = 32;
    if (std::all_of(token.begin(), token.end(), is_decimal)) needed = 39;
    const std::set<char> different(token.begin(), token.end());
    if (token.size() >= needed && different.size() >= 8) return std::nullopt;
    return "a token needs 128 random bits: 22 or more random characters, 32 if they are "
           "hexadecimal digits, 39 if they are decimal ones; found " +
           std::to_string(token.size()) + " characters, " + std::to_string(different.size()) +
           " of them different; \"openssl rand -hex 32\" makes a good one";
}

std::optional<std::string> token_digest_fault(const sha256_digest& digest) {
    const char* const cure = "; \"openssl rand -hex 32\" makes a good token";
    if (digest == sha256_digest{}) return std::string("all zeros is the digest of no token") + cure;
    if (digest == token_digest("")) return std::string("that is the digest of no token") + cure;
    if (digest == token_digest(documented_token))
        return std::string("this token stands in docs/PROTOCOL.md for everybody to read") + cure;
    return std::nullopt;
}

std::optional<std::string> environment_reference(std::string_view text) {
    if (text.size() < 4 || text.substr(0, 2) != "${" || text.back() != '}') return std::nullopt;
    const std::string_view name = text.substr(2, text.size() - 3);
    const auto allowed = [](char c) {
        return is_decimal(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    };
    if (is_decimal(name.front()) || !std::all_of(name.begin(), name.end(), allowed)) {
        return std::nullopt;
    }
    return std::string(name);
}

std::string read_secret_file(const std::string& path, const std::string& where) {
    const descriptor file(open_for_reading(path, where));
    std::string text(secret_bytes_max + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t n = ::read(file.fd(), text.data() + size, text.size() - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw_unreadable(path, where, errno);
        if (n == 0) break;
        size += static_cast<std::size_t>(n);
    }
    if (size > secret_bytes_max) {
        throw config_error(where + ": \"" + path + "\" is longer than 64 KiB, so it is no secret.");
    }
    text.resize(size);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
        text.pop_back();
    }
    if (text.empty()) throw config_error(where + ": \"" + path + "\" is empty.");
    return text;
}

std::optional<std::string> world_readable_warning(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    if ((status.st_mode & S_IROTH) == 0) return std::nullopt;
    return "Every user of this machine may read \"" + path +
           "\", which holds a secret; \"chmod o-r\" takes that away.";
}

void require_readable(const std::string& path, const std::string& where) {
    // O_NONBLOCK: a named pipe without a writer must not hold up the check.
    const descriptor file(open_for_reading(path, where, O_NONBLOCK));
    struct stat status {};
    if (::fstat(file.fd(), &status) != 0) throw_unreadable(path, where, errno);
    if (S_ISDIR(status.st_mode)) throw_unreadable(path, where, EISDIR);
}

} // namespace muxsocks
