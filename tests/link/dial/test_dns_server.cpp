#include "tests/link/dial/test_dns_server.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <stdexcept>

namespace muxsocks::test {

namespace {

void put16(std::vector<std::uint8_t>& to, std::size_t value) {
    to.push_back(static_cast<std::uint8_t>(value >> 8));
    to.push_back(static_cast<std::uint8_t>(value));
}

void put_name(std::vector<std::uint8_t>& to, const std::string& name) {
    for (std::size_t begin = 0; begin < name.size();) {
        const std::size_t end = std::min(name.find('.', begin), name.size());
        to.push_back(static_cast<std::uint8_t>(end - begin));
        to.insert(to.end(), name.begin() + static_cast<std::ptrdiff_t>(begin),
                  name.begin() + static_cast<std::ptrdiff_t>(end));
        begin = end + 1;
    }
    to.push_back(0);
}

/// The 10 bytes between a record's name and its data: type, class IN, a TTL of 0 so that nothing is
/// kept, and the data's length.
void put_record(std::vector<std::uint8_t>& to, std::uint16_t type, std::size_t length) {
    put16(to, type);
    put16(to, 1);
    put16(to, 0);
    put16(to, 0);
    put16(to, length);
}

} // namespace

dns_server::dns_server(asio::io_context& context)
    : context_(context),
      acceptor_(context.get_executor()),
      socket_(context.get_executor()),
      alive_(std::make_shared<dns_server*>(this)) {
    const auto loopback = asio::ip::address_v4::loopback();
    // The same port for both: the one that UDP was given may be taken in TCP.
    for (int tries = 0;; ++tries) {
        socket_ = udp_socket(context.get_executor(), asio::ip::udp::endpoint(loopback, 0));
        acceptor_ = tcp_acceptor(context.get_executor());
        acceptor_.open(asio::ip::tcp::v4());
        boost::system::error_code error;
        acceptor_.bind({loopback, socket_.local_endpoint().port()}, error);
        if (!error) break;
        if (tries == 20) throw std::runtime_error("no port is free for a DNS server");
    }
    acceptor_.listen();
    receive();
    accept();
}

dns_server::~dns_server() { *alive_ = nullptr; }

void dns_server::on(const std::string& name, record type, dns_reply reply) {
    script_[{name, type}] = std::move(reply);
}

void dns_server::on_all_under(const std::string& domain, const dns_reply& reply) {
    wildcard_ = "." + domain;
    on(wildcard_, reply);
}

void dns_server::on(const std::string& name, const dns_reply& reply) {
    for (const record type : {record::a, record::aaaa}) {
        dns_reply part = reply;
        std::erase_if(part.addresses, [type](const std::string& address) {
            return (address.find(':') != std::string::npos) != (type == record::aaaa);
        });
        on(name, type, std::move(part));
    }
}

int dns_server::asked(const std::string& name, record type) const {
    const auto found = asked_.find({name, type});
    return found == asked_.end() ? 0 : found->second;
}

void dns_server::receive() {
    socket_.async_receive_from(
        asio::buffer(datagram_), sender_,
        [this, alive = alive_](const boost::system::error_code& error, std::size_t size) {
            if (error || *alive == nullptr) return;
            ports_.insert(sender_.port());
            const bytes message(datagram_.begin(),
                                datagram_.begin() + static_cast<std::ptrdiff_t>(size));
            answer(message, true, [this, to = sender_](const bytes& reply) {
                boost::system::error_code ignored;
                socket_.send_to(asio::buffer(reply), to, 0, ignored);
            });
            receive();
        });
}

void dns_server::accept() {
    acceptor_.async_accept(
        [this, alive = alive_](const boost::system::error_code& error, tcp_socket accepted) {
            if (error || *alive == nullptr) return;
            read(std::make_shared<connection>(std::move(accepted)));
            accept();
        });
}

void dns_server::read(const std::shared_ptr<connection>& one) {
    asio::async_read(
        one->socket, asio::buffer(one->length),
        [this, alive = alive_, one](const boost::system::error_code& error, std::size_t) {
            if (error || *alive == nullptr) return;
            one->message.resize(static_cast<std::size_t>(one->length[0] << 8 | one->length[1]));
            asio::async_read(one->socket, asio::buffer(one->message),
                             [this, alive, one](const boost::system::error_code& cut, std::size_t) {
                                 if (cut || *alive == nullptr) return;
                                 ++over_tcp_;
                                 answer(one->message, false, [one](const bytes& reply) {
                                     bytes framed;
                                     put16(framed, reply.size());
                                     framed.insert(framed.end(), reply.begin(), reply.end());
                                     boost::system::error_code ignored;
                                     asio::write(one->socket, asio::buffer(framed), ignored);
                                 });
                                 read(one);
                             });
        });
}

template <typename Send>
void dns_server::answer(const bytes& message, bool udp, Send send) {
    const question asked = parse(message);
    ++total_;
    ++asked_[{asked.name, asked.type}];
    const dns_reply reply = reply_to(asked);
    if (reply.silent) return;
    const bytes encoded = encode(message, asked, reply, udp);
    const auto now = std::chrono::steady_clock::now();
    const auto known_at =
        known_at_.try_emplace({asked.name, asked.type}, now + reply.delay).first->second;
    if (known_at <= now) {
        send(encoded);
        return;
    }
    pending_.emplace_front(context_);
    const auto place = pending_.begin();
    place->timer.expires_at(known_at);
    place->timer.async_wait(
        [this, alive = alive_, place, send, encoded](const boost::system::error_code&) {
            if (*alive == nullptr) return;
            send(encoded);
            pending_.erase(place);
        });
}

dns_server::question dns_server::parse(const bytes& message) {
    question result;
    std::size_t at = 12;
    while (at < message.size() && message[at] != 0) {
        const std::size_t length = message[at++];
        if (!result.name.empty()) result.name += '.';
        for (std::size_t i = 0; i < length; ++i) {
            result.name += static_cast<char>(message.at(at++));
        }
    }
    result.name = canonical_host_name(result.name);
    result.type = static_cast<record>(message.at(at + 1) << 8 | message.at(at + 2));
    result.end = at + 5;
    return result;
}

dns_reply dns_server::reply_to(const question& asked) const {
    auto found = script_.find({asked.name, asked.type});
    if (found == script_.end() && !wildcard_.empty() && asked.name.ends_with(wildcard_))
        found = script_.find({wildcard_, asked.type});
    return found == script_.end() ? dns_reply{.code = rcode::no_name} : found->second;
}

dns_server::bytes dns_server::encode(const bytes& message, const question& asked,
                                     const dns_reply& reply, bool udp) {
    const bool truncated = reply.truncated && udp;
    const std::size_t records =
        truncated ? 0 : reply.addresses.size() + reply.names.size() + (reply.alias.empty() ? 0 : 1);
    bytes out(message.begin(), message.begin() + 2);
    out.push_back(static_cast<std::uint8_t>(0x85 | (truncated ? 0x02 : 0))); // QR AA RD, TC
    out.push_back(static_cast<std::uint8_t>(0x80 | static_cast<int>(reply.code)));
    put16(out, 1);
    put16(out, records);
    put16(out, 0);
    put16(out, 0);
    out.insert(out.end(), message.begin() + 12,
               message.begin() + static_cast<std::ptrdiff_t>(asked.end));
    if (truncated) return out;
    if (!reply.alias.empty()) {
        put16(out, 0xc00c); // the question's name
        bytes target;
        put_name(target, reply.alias);
        put_record(out, 5, target.size());
        out.insert(out.end(), target.begin(), target.end());
    }
    for (const std::string& name : reply.names) {
        if (reply.alias.empty())
            put16(out, 0xc00c);
        else
            put_name(out, reply.alias);
        bytes target;
        put_name(target, name);
        put_record(out, static_cast<std::uint16_t>(asked.type), target.size());
        out.insert(out.end(), target.begin(), target.end());
    }
    for (const std::string& text : reply.addresses) {
        if (reply.alias.empty()) {
            put16(out, 0xc00c);
        } else {
            put_name(out, reply.alias);
        }
        const auto address = asio::ip::make_address(text);
        put_record(out, static_cast<std::uint16_t>(asked.type), address.is_v4() ? 4 : 16);
        const auto append = [&out](const auto& data) {
            out.insert(out.end(), data.begin(), data.end());
        };
        if (address.is_v4()) append(address.to_v4().to_bytes());
        if (address.is_v6()) append(address.to_v6().to_bytes());
    }
    return out;
}

} // namespace muxsocks::test
