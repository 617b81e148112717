#include "client/connect_request.hpp"
#include "client/front.hpp"
#include "socks5/error.hpp"
#include "socks5/socks4.hpp"

namespace muxsocks::client {
namespace {

class socks4_language final : public answer_language {
    kind which() const override { return kind::socks4; }
    std::vector<std::uint8_t> granted(const socks5::address& bnd) const override {
        return socks4::encode(socks4::result::granted, bnd);
    }
    std::vector<std::uint8_t> refused(const refusal&) const override {
        return socks4::encode(socks4::result::rejected);
    }
};

class socks4_front final : public front {
  public:
    explicit socks4_front(const front_services& services) : services_(services) {}

    const char* protocol() const override { return "SOCKS"; }

    step on_input(bytes_view input) override {
        const auto kept = bytes_.size();
        bytes_.insert(bytes_.end(), input.begin(), input.end());
        auto parsed = socks4::parse_request(bytes_);
        if (parsed.status == socks5::parse_status::need_more) return {.used = input.size()};
        if (parsed.status == socks5::parse_status::failed)
            return refuse(socks4::result::rejected, parsed.error.message());
        if (parsed.value.cd != socks4::command::connect)
            return refuse(socks4::result::rejected, "A SOCKS4 request asked for BIND, which is not "
                                                    "supported: only CONNECT is.");
        if (services_.users)
            return refuse(socks4::result::not_identified,
                          "A SOCKS4 request came, which has no password, and this proxy requires "
                          "one: set the application's proxy type to SOCKS5 or HTTP.");
        target_ = std::move(parsed.value.dst);
        return {.result = verdict::ready, .used = parsed.used - kept};
    }

    void proceed(tcp_socket socket, bytes_view rest) override {
        const request_ptr request(new connect_request(services_.thread, std::move(socket), target_,
                                                      {rest.begin(), rest.end()},
                                                      socks4_answers()));
        request->give_up = std::chrono::steady_clock::now() + services_.wait;
        services_.sink.submit(request);
    }

  private:
    step refuse(socks4::result cd, std::string why) {
        bytes_ = socks4::encode(cd);
        return {.result = verdict::failed, .to_send = bytes_, .failure = std::move(why)};
    }

    front_services services_;
    std::vector<std::uint8_t> bytes_; ///< What has come, or the answer.
    socks5::address target_;
};

} // namespace

const answer_language& socks4_answers() {
    static const socks4_language language;
    return language;
}

std::unique_ptr<front> make_socks4_front(const front_services& services) {
    return std::make_unique<socks4_front>(services);
}

} // namespace muxsocks::client
