#include "protocol/link/dial/ares_channel.hpp"

#include "protocol/link/dial/host_name.hpp"
#include "protocol/link/dial/resolve_error.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include <array>
#include <netinet/in.h>
#include <stdexcept>

namespace muxsocks {

namespace {

/// c-ares keeps process-wide state; set up once, before the first channel, by whichever thread.
void init_library() {
    static const int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status != ARES_SUCCESS) {
        throw std::runtime_error(std::string("c-ares cannot be used: ") + ares_strerror(status));
    }
}

std::error_code error_of(int status) {
    switch (status) {
    case ARES_SUCCESS:
        return {};
    case ARES_ENOTFOUND:
        return resolve_errc::not_found;
    case ARES_ENODATA:
        return resolve_errc::no_address;
    case ARES_EBADNAME:
        return resolve_errc::bad_name;
    case ARES_ETIMEOUT:
        return resolve_errc::timed_out;
    case ARES_ENOMEM:
        return std::make_error_code(std::errc::not_enough_memory);
    default:
        return resolve_errc::server_failure;
    }
}

asio::ip::address address_from(const in_addr& v4) { return asio::ip::address_v4(ntohl(v4.s_addr)); }

asio::ip::address address_from(const unsigned char (&v6)[16]) {
    asio::ip::address_v6::bytes_type bytes;
    std::copy_n(v6, bytes.size(), bytes.begin());
    // A socket would dial an IPv4-mapped address as IPv4, so that is what it is.
    return unmapped(asio::ip::address_v6(bytes));
}

/// Whoever has the address's zone may write anything there.
void take_name(dns_records& to, const char* name) {
    if (to.name.empty() && name != nullptr && is_host_name(name))
        to.name = canonical_host_name(name);
}

#if ARES_VERSION >= 0x011c00 // 1.28: answers come parsed, and what was there before is deprecated

using answer_records = const ares_dns_record_t*;

dns_records records_of(answer_records answer) {
    dns_records found;
    for (std::size_t i = 0; i < ares_dns_record_rr_cnt(answer, ARES_SECTION_ANSWER); ++i) {
        const auto* record = ares_dns_record_rr_get_const(answer, ARES_SECTION_ANSWER, i);
        if (ares_dns_rr_get_type(record) == ARES_REC_TYPE_A) {
            found.addresses.push_back(address_from(*ares_dns_rr_get_addr(record, ARES_RR_A_ADDR)));
        } else if (ares_dns_rr_get_type(record) == ARES_REC_TYPE_AAAA) {
            const auto* v6 = ares_dns_rr_get_addr6(record, ARES_RR_AAAA_ADDR);
            found.addresses.push_back(address_from(v6->_S6_un._S6_u8));
        } else if (ares_dns_rr_get_type(record) == ARES_REC_TYPE_PTR) {
            take_name(found, ares_dns_rr_get_str(record, ARES_RR_PTR_DNAME));
        }
    }
    return found;
}

#else

constexpr int class_in = 1;

/// Of RFC 1035 and RFC 3596.
constexpr int number_of(dns_type type) {
    return type == dns_type::a ? 1 : type == dns_type::aaaa ? 28 : 12;
}

template <typename Record>
using parse_function = int (*)(const unsigned char*, int, hostent**, Record*, int*);

template <typename Record>
std::vector<Record> parsed_of(const unsigned char* message, int size,
                              parse_function<Record> parse) {
    // A record has at least a name of two bytes and ten of its own before its data.
    std::vector<Record> records(static_cast<std::size_t>(size) / 16 + 1);
    auto count = static_cast<int>(records.size());
    if (parse(message, size, nullptr, records.data(), &count) != ARES_SUCCESS) count = 0;
    records.resize(static_cast<std::size_t>(count));
    return records;
}

dns_records records_of(const unsigned char* message, int size, dns_type type) {
    dns_records found;
    if (type == dns_type::a) {
        for (const auto& record : parsed_of<ares_addrttl>(message, size, ares_parse_a_reply))
            found.addresses.push_back(address_from(record.ipaddr));
    } else if (type == dns_type::aaaa) {
        for (const auto& record : parsed_of<ares_addr6ttl>(message, size, ares_parse_aaaa_reply))
            found.addresses.push_back(address_from(record.ip6addr._S6_un._S6_u8));
    } else {
        hostent* host = nullptr;
        const in_addr unused{};
        if (ares_parse_ptr_reply(message, size, &unused, sizeof unused, AF_INET, &host) ==
            ARES_SUCCESS) {
            take_name(found, host->h_name);
            for (char** alias = host->h_aliases; alias != nullptr && *alias != nullptr; ++alias)
                take_name(found, *alias);
            ares_free_hostent(host);
        }
    }
    return found;
}

#endif

/// Queries from one port: whoever has found it out must not have it for long.
constexpr int queries_per_port = 32;

/// With so many answers of a server c-ares 1.32 and later knows how fast it is, and waits for five
/// times as long, or 250 ms: a name that the server has to ask others for would never be found.
constexpr int answers_before_haste = 3;

/// The library's, which may be later than its headers.
bool is_hasty() {
    static const bool hasty = [] {
        int version = 0;
        ares_version(&version);
        return version >= 0x012000;
    }();
    return hasty;
}

/// As ares_set_servers_ports_csv wants it: "192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1]:53%eth0".
/// (c-ares 1.18 knows no zones, and then asks in vain.)
std::string text_of(const asio::ip::udp::endpoint& server) {
    const std::string address = server.address().to_string();
    const std::string port = ':' + std::to_string(server.port());
    if (server.address().is_v4()) return address + port;
    const std::size_t zone = std::min(address.find('%'), address.size());
    return '[' + address.substr(0, zone) + ']' + port + address.substr(zone);
}

} // namespace

struct ares_channel::question {
    ares_channel& asked;
    dns_type type;
    handler done;
};

/// A socket of c-ares, which closes it itself after it has said that it no longer waits for it.
struct ares_channel::watched {
    using descriptor = asio::posix::basic_stream_descriptor<executor>;

    explicit watched(asio::io_context& context) : socket(context.get_executor()) {}
    ~watched() { release(); }

    /// Takes the descriptor out of Asio without closing it; waits end with operation_aborted.
    void release() {
        channel = nullptr;
        if (socket.is_open()) socket.release();
    }

    descriptor socket;
    ares_channel* channel = nullptr;
    bool wants_readable = false;
    bool wants_writable = false;
    bool waits_readable = false;
    bool waits_writable = false;
};

ares_channel::ares_channel(asio::io_context& context, deadlines& clock, const options& wanted)
    : context_(context),
      timer_(clock, [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }),
      alive_(std::make_shared<ares_channel*>(this)) {
    init_library();
    std::array<char, 2> dns_only{"b"};
    ares_options setup{};
    setup.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
    setup.timeout = static_cast<int>(wanted.timeout.count());
    setup.tries = 1;
    setup.lookups = dns_only.data();
    setup.sock_state_cb = on_socket_state;
    setup.sock_state_cb_data = this;
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_MAXTIMEOUTMS
    setup.maxtimeout = setup.timeout; // 5 s without it.
    mask |= ARES_OPT_MAXTIMEOUTMS;
#endif
#ifdef ARES_OPT_UDP_MAX_QUERIES
    setup.udp_max_queries = queries_per_port;
    mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
    if (const int status = ares_init_options(&channel_, &setup, mask); status != ARES_SUCCESS) {
        throw std::runtime_error(std::string("name resolution cannot start: ") +
                                 ares_strerror(status));
    }
    const std::string server = text_of(wanted.server);
    if (const int status = ares_set_servers_ports_csv(channel_, server.c_str());
        status != ARES_SUCCESS) {
        ares_destroy(channel_);
        throw std::runtime_error("the DNS server " + server +
                                 " cannot be used: " + ares_strerror(status));
    }
}

ares_channel::~ares_channel() {
    *alive_ = nullptr;
    ares_destroy(channel_);
}

bool ares_channel::is_worn() const noexcept {
#ifndef ARES_OPT_UDP_MAX_QUERIES
    if (queries_ >= queries_per_port) return true;
#endif
    return is_hasty() && answered_ >= answers_before_haste;
}

void ares_channel::query(const std::string& name, dns_type type, handler done) {
    ++pending_;
    ++queries_;
    const bool idle = answers_.empty();
    auto* const asked = new question{*this, type, std::move(done)};
#if ARES_VERSION >= 0x011c00
    ares_query_dnsrec(
        channel_, name.c_str(), ARES_CLASS_IN,
        type == dns_type::a      ? ARES_REC_TYPE_A
        : type == dns_type::aaaa ? ARES_REC_TYPE_AAAA
                                 : ARES_REC_TYPE_PTR,
        [](void* self, ares_status_t status, std::size_t, const ares_dns_record_t* message) {
            auto found = status == ARES_SUCCESS ? records_of(message) : dns_records();
            end(self, static_cast<int>(status), std::move(found));
        },
        asked, nullptr);
#else
    ares_query(
        channel_, name.c_str(), class_in, number_of(type),
        [](void* self, int status, int, unsigned char* message, int size) {
            const auto of = static_cast<question*>(self)->type;
            auto found = status == ARES_SUCCESS ? records_of(message, size, of) : dns_records();
            end(self, status, std::move(found));
        },
        asked);
#endif
    set_timer();
    // c-ares answers at once what it has in its cache, or cannot send.
    if (!idle || answers_.empty()) return;
    asio::post(context_, [alive = alive_] {
        if (*alive != nullptr) (*alive)->deliver();
    });
}

void ares_channel::end(void* asked, int status, dns_records found) {
    const std::unique_ptr<question> ended(static_cast<question*>(asked));
    ares_channel& channel = ended->asked;
    --channel.pending_;
    if (*channel.alive_ == nullptr) return;
    if (status != ARES_ETIMEOUT) ++channel.answered_;
    if (status == ARES_SUCCESS && found.empty()) status = ARES_ENODATA;
    channel.answers_.push_back({std::move(ended->done), error_of(status), std::move(found)});
}

void ares_channel::on_socket_state(void* self, ares_socket_t descriptor, int readable,
                                   int writable) {
    static_cast<ares_channel*>(self)->watch(descriptor, readable != 0, writable != 0);
}

void ares_channel::watch(ares_socket_t descriptor, bool readable, bool writable) {
    const auto known = sockets_.find(descriptor);
    if (!readable && !writable) {
        if (known == sockets_.end()) return;
        known->second->release();
        sockets_.erase(known);
        return;
    }
    std::shared_ptr<watched> one;
    if (known != sockets_.end()) {
        one = known->second;
    } else {
        one = std::make_shared<watched>(context_);
        boost::system::error_code error;
        one->socket.assign(descriptor, error);
        if (error) return; // no memory for epoll: the query ends with its time-out
        one->channel = this;
        sockets_.emplace(descriptor, one);
    }
    one->wants_readable = readable;
    one->wants_writable = writable;
    wait_readable(one);
    wait_writable(one);
}

void ares_channel::wait_readable(const std::shared_ptr<watched>& one) {
    if (!one->wants_readable || one->waits_readable) return;
    one->waits_readable = true;
    one->socket.async_wait(watched::descriptor::wait_read,
                           [one](const boost::system::error_code& error) {
                               one->waits_readable = false;
                               if (error || one->channel == nullptr) return;
                               one->channel->process(one->socket.native_handle(), ARES_SOCKET_BAD);
                               if (one->channel != nullptr) one->channel->wait_readable(one);
                           });
}

void ares_channel::wait_writable(const std::shared_ptr<watched>& one) {
    if (!one->wants_writable || one->waits_writable) return;
    one->waits_writable = true;
    one->socket.async_wait(watched::descriptor::wait_write,
                           [one](const boost::system::error_code& error) {
                               one->waits_writable = false;
                               if (error || one->channel == nullptr) return;
                               one->channel->process(ARES_SOCKET_BAD, one->socket.native_handle());
                               if (one->channel != nullptr) one->channel->wait_writable(one);
                           });
}

void ares_channel::process(ares_socket_t readable, ares_socket_t writable) {
    ares_process_fd(channel_, readable, writable);
    set_timer();
    deliver();
}

void ares_channel::set_timer() {
    timeval left{};
    if (ares_timeout(channel_, nullptr, &left) == nullptr) {
        timer_.cancel();
        return;
    }
    // One more millisecond: c-ares must find the time-out over when it is called.
    const auto when = deadline::clock::now() + std::chrono::seconds(left.tv_sec) +
                      std::chrono::microseconds(left.tv_usec) + std::chrono::milliseconds(1);
    // Too early does no harm, and most queries are answered before any time-out.
    if (!timer_.is_set() || when < timer_.expiry()) timer_.expires_at(when);
}

void ares_channel::deliver() {
    const std::shared_ptr<ares_channel*> alive = alive_;
    while (*alive != nullptr && !answers_.empty()) {
        answer next = std::move(answers_.front());
        answers_.erase(answers_.begin());
        next.done(next.error, std::move(next.records));
    }
}

} // namespace muxsocks
