#include "client/connect_request.hpp"
#include "client/front.hpp"
#include "client/udp_association.hpp"
#include "socks5/error.hpp"
#include "socks5/handshake.hpp"

namespace muxsocks::client {
namespace {

socks5::credential_check check_against(std::shared_ptr<const socks5::credentials> users) {
    if (!users) return {};
    return [known = std::move(users)](std::string_view user, std::string_view password) {
        return known->check(user, password);
    };
}

/// RFC 1928 and RFC 1929.
class socks5_front final : public front {
  public:
    explicit socks5_front(const front_services& services)
        : services_(services),
          handshake_(check_against(services.users),
                     {.udp_associate = services.udp != nullptr, .resolve = true}) {}

    const char* protocol() const override { return "SOCKS"; }

    step on_input(bytes_view input) override {
        last_ = handshake_.on_input(input);
        step made;
        made.used = last_.used;
        made.to_send = last_.to_send;
        if (last_.state == socks5::handshake_state::request_ready) made.result = verdict::ready;
        if (last_.state != socks5::handshake_state::failed) return made;
        made.result = verdict::failed;
        made.guessed = last_.error == socks5::errc::password_rejected;
        made.failure = last_.error.message();
        if (last_.error == socks5::errc::command_not_supported)
            made.failure += " It asked for " + socks5::to_string(handshake_.request().cmd) + ".";
        return made;
    }

    void proceed(tcp_socket socket, bytes_view rest) override {
        const auto& asked = handshake_.request();
        request_ptr request;
        if (asked.cmd == socks5::command::udp_associate)
            request = new associate_request(services_.thread, std::move(socket), asked.dst,
                                            services_.udp);
        else
            request = new connect_request(services_.thread, std::move(socket), asked.dst,
                                          {rest.begin(), rest.end()}, socks5_answers(), asked.cmd);
        request->give_up = std::chrono::steady_clock::now() + services_.wait;
        services_.sink.submit(request);
    }

  private:
    front_services services_;
    socks5::server_handshake handshake_;
    socks5::handshake_result last_;
};

} // namespace

std::unique_ptr<front> make_socks5_front(const front_services& services) {
    return std::make_unique<socks5_front>(services);
}

} // namespace muxsocks::client
