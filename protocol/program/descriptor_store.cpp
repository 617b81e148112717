#include "protocol/program/descriptor_store.hpp"

#include "protocol/link/loop/socket_ends.hpp"
#include "protocol/program/local_sockets.hpp"
#include "protocol/program/log.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>

namespace muxsocks {
namespace {

constexpr std::string_view store_mark{"muxsocks store\0\0", 16};
constexpr std::uint16_t store_format = 1;
constexpr std::uint8_t end_of_store = 0;
constexpr std::uint8_t stored_listener = 1;
constexpr std::uint8_t stored_session = 2;
constexpr std::uint8_t stored_connection = 3;

bytes_view bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Zero for what is no socket.
std::uint64_t cookie_of(int descriptor) {
    std::uint64_t cookie = 0;
    ::socklen_t size = sizeof cookie;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) return 0;
    return cookie;
}

/// The sockets by their cookies; those that nobody asks for are closed.
class kept_sockets {
  public:
    explicit kept_sockets(const std::vector<int>& all) {
        for (const int each : all) {
            const auto cookie = cookie_of(each);
            if (cookie == 0 || !by_cookie_.emplace(cookie, each).second) ::close(each);
        }
    }
    ~kept_sockets() {
        for (const auto& [cookie, descriptor] : by_cookie_)
            ::close(descriptor);
    }
    kept_sockets(const kept_sockets&) = delete;
    kept_sockets& operator=(const kept_sockets&) = delete;

    /// -1 if it was not kept.
    int take(std::uint64_t cookie) {
        const auto found = by_cookie_.find(cookie);
        if (found == by_cookie_.end()) return -1;
        const int descriptor = found->second;
        by_cookie_.erase(found);
        return descriptor;
    }

  private:
    std::unordered_map<std::uint64_t, int> by_cookie_;
};

/// Fields from the front; past the end all are zero and empty, and failed() is true.
class store_reader {
  public:
    explicit store_reader(bytes_view bytes) : left_(bytes) {}

    bytes_view take(std::size_t count) {
        if (count > left_.size()) {
            failed_ = true;
            return {};
        }
        const auto part = left_.first(count);
        left_ = left_.subspan(count);
        return part;
    }
    std::uint8_t u8() {
        return number(1, [](const std::uint8_t* from) { return *from; });
    }
    std::uint16_t u16() { return number(2, load_u16); }
    std::uint32_t u32() { return number(4, load_u32); }
    std::uint64_t u64() { return number(8, load_u64); }
    [[nodiscard]] bool failed() const { return failed_; }
    [[nodiscard]] std::size_t left() const { return left_.size(); }

  private:
    template <class Load>
    auto number(std::size_t size, Load load) -> decltype(load(nullptr)) {
        const auto part = take(size);
        return part.empty() ? decltype(load(nullptr)){0} : load(part.data());
    }

    bytes_view left_;
    bool failed_ = false;
};

std::vector<std::uint8_t> read_memory(int descriptor) {
    struct ::stat found {};
    if (::fstat(descriptor, &found) != 0 || found.st_size < 0) return {};
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(found.st_size));
    std::size_t have = 0;
    while (have < bytes.size()) {
        const auto count = ::pread(descriptor, bytes.data() + have, bytes.size() - have,
                                   static_cast<::off_t>(have));
        if (count <= 0) return {};
        have += static_cast<std::size_t>(count);
    }
    return bytes;
}

} // namespace

// ---- Taking

std::optional<stored_place> stored_place::find() {
    const auto states = passed_descriptors(stored_state_name);
    auto sockets = passed_descriptors(stored_socket_name);
    if (states.empty() && sockets.empty()) return {};
    std::optional<stored_place> found;
    found = read(states.empty() ? std::vector<std::uint8_t>() : read_memory(states.back()),
                 std::move(sockets));
    if (!found) {
        log::warning("what the service manager has kept of the process before cannot be read: its "
                     "connections are reset");
        // It has the ports, too.
        service_manager manager;
        for (const auto name : {stored_state_name, stored_socket_name})
            manager.forget_stored(name);
        (void)manager.wait();
    }
    for (const int each : states)
        ::close(each);
    return found;
}

std::optional<stored_place> stored_place::read(bytes_view bytes, std::vector<int> sockets) {
    kept_sockets kept(sockets);
    store_reader in(bytes);
    const auto mark = in.take(store_mark.size());
    if (mark.empty() || !std::equal(mark.begin(), mark.end(), bytes_of(store_mark).begin()) ||
        in.u16() != store_format)
        return {};
    stored_place place;
    bool whole = true;
    for (auto type = in.u8(); type != end_of_store; type = in.u8()) {
        const auto count = type == stored_listener ? 1 : in.u32();
        whole =
            type <= stored_connection && !in.failed() && count <= in.left() / sizeof(std::uint64_t);
        if (!whole) break;
        std::vector<int> theirs;
        for (std::uint32_t i = 0; i < count; ++i)
            theirs.push_back(kept.take(in.u64()));
        const auto rest = in.take(in.u32());
        if (type == stored_listener) {
            if (theirs[0] >= 0)
                place.listening.push_back({std::string(rest.begin(), rest.end()), theirs[0]});
            continue;
        }
        piece one{type == stored_session ? handed_piece::session : handed_piece::connection,
                  {rest.begin(), rest.end()},
                  {}};
        for (const int each : theirs) {
            if (each >= 0) make_close_a_reset(each, false);
            one.sockets.add(each);
        }
        place.pieces.push_back(std::move(one));
    }
    if (!whole || in.failed()) {
        for (const auto& each : place.listening)
            ::close(each.descriptor);
        return {};
    }
    return place;
}

// ---- Giving

place_writer::place_writer() : memory_(::memfd_create("muxsocks", MFD_CLOEXEC)) {
    std::uint8_t format[2];
    store_u16(format, store_format);
    put(bytes_of(store_mark));
    put(format);
}

place_writer::~place_writer() {
    if (memory_ >= 0) ::close(memory_);
}

void place_writer::put(bytes_view bytes) {
    while (whole_ && !bytes.empty()) {
        const auto count = ::write(memory_, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0)
            whole_ = false;
        else
            bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
}

void place_writer::put(std::uint8_t type, std::span<const int> sockets) {
    std::vector<std::uint8_t> head{type};
    if (type != stored_listener) {
        head.resize(5);
        store_u32(head.data() + 1, static_cast<std::uint32_t>(sockets.size()));
    }
    for (const int each : sockets) {
        head.resize(head.size() + 8);
        store_u64(head.data() + head.size() - 8, cookie_of(each));
    }
    put(head);
}

void place_writer::add(const inherited_listener& listening) {
    listening_.push_back(listening.descriptor);
    std::uint8_t length[4];
    store_u32(length, static_cast<std::uint32_t>(listening.name.size()));
    put(stored_listener, {&listening.descriptor, 1});
    put(length);
    put(bytes_of(listening.name));
}

void place_writer::add(handed_piece what, bytes_view state, std::span<const int> sockets) {
    connected_.insert(connected_.end(), sockets.begin(), sockets.end());
    const bool session = what == handed_piece::session;
    if (session) ++sessions_;
    std::uint8_t length[4];
    store_u32(length, static_cast<std::uint32_t>(state.size()));
    put(session ? stored_session : stored_connection, sockets);
    put(length);
    put(state);
}

bool place_writer::send(service_manager& to) {
    const std::uint8_t end[]{end_of_store};
    put(end);
    if (!whole_) return false;
    for (const int each : connected_)
        make_close_a_reset(each, true);
    if (to.store(stored_state_name, {&memory_, 1}) && to.store(stored_socket_name, listening_) &&
        to.store(stored_socket_name, connected_) && to.wait())
        return true;
    to.forget_stored(stored_state_name);
    to.forget_stored(stored_socket_name);
    for (const int each : connected_)
        make_close_a_reset(each, false);
    return false;
}

} // namespace muxsocks
