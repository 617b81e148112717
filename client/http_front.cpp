#include "client/connect_request.hpp"
#include "client/forward_connection.hpp"
#include "client/front.hpp"
#include "client/http_answers.hpp"
#include "client/http_wish.hpp"
#include "client/own_pages.hpp"
#include "client/udp_tunnel.hpp"
#include "http/answer.hpp"

namespace muxsocks::client {
namespace {

bytes_view bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Heads up to the first one that wants a connection. One that lacks a login is answered, and the
/// next one read.
class http_front final : public front {
  public:
    explicit http_front(const front_services& services) : services_(services) {}

    const char* protocol() const override { return "HTTP"; }

    step on_input(bytes_view input) override {
        to_send_.clear();
        buffer_.append(reinterpret_cast<const char*>(input.data()), input.size());
        for (;;) {
            const auto size = end_.find(buffer_);
            if (end_.fault()) return fail(http_answer(end_.fault()), end_.fault().text);
            if (size == 0) return {.used = input.size(), .to_send = bytes_of(to_send_)};
            auto made = on_head({buffer_.data(), size});
            if (made.result == verdict::ready) {
                made.to_send = bytes_of(to_send_);
                // Whoever forwards begins with the head. What is behind it need not be of this
                // input: it may have waited here while a wrong password was answered.
                if (!forwards_) buffer_.erase(0, size);
                made.used = input.size();
                return made;
            }
            if (made.result == verdict::failed) return made;
            buffer_.erase(0, size);
            end_.restart();
            made.used = input.size();
            if (made.guessed) return made;
        }
    }

    void proceed(tcp_socket socket, bytes_view /*rest*/) override {
        if (forwards_) {
            const boost::intrusive_ptr<forward_connection> forwarding(
                new forward_connection(std::move(socket), services_, std::move(buffer_)));
            return forwarding->begin();
        }
        if (udp_) {
            const request_ptr tunnel(new udp_tunnel_request(
                services_.thread, std::move(socket), target_, std::move(buffer_), services_.udp));
            tunnel->give_up = std::chrono::steady_clock::now() + services_.wait;
            return services_.sink.submit(tunnel);
        }
        const request_ptr request(new connect_request(services_.thread, std::move(socket), target_,
                                                      {buffer_.begin(), buffer_.end()},
                                                      http_answers()));
        request->give_up = std::chrono::steady_clock::now() + services_.wait;
        services_.sink.submit(request);
    }

  private:
    step on_head(std::string_view head) {
        http::request_head request;
        if (const auto wrong = http::parse(head, request))
            return fail(http_answer(wrong), wrong.text);
        auto wish = wish_of(request, services_.users.get());
        switch (wish.what) {
        case http_wish::kind::refused:
            return fail(http_answer(wish.wrong), wish.wrong.text);
        case http_wish::kind::log_in:
            return ask_for_login(request, wish.guessed);
        case http_wish::kind::tunnel:
            target_ = std::move(wish.target);
            return {.result = verdict::ready};
        case http_wish::kind::forward:
            forwards_ = true;
            return {.result = verdict::ready};
        case http_wish::kind::udp:
            if (!services_.udp)
                return fail(http_answer(refusal{socks5::reply_code::command_not_supported,
                                                "UDP is switched off (udp.enabled).", false}),
                            {});
            udp_ = true;
            target_ = std::move(wish.target);
            return {.result = verdict::ready};
        case http_wish::kind::own:
            break;
        }
        return fail(services_.pages ? own_page(request, *services_.pages, services_.accept)
                                    : http_answer(http::fault{400, "This is a proxy."}),
                    {});
    }

    step ask_for_login(const http::request_head& request, bool guessed) {
        // The body of a request that is not served is not waited for.
        const bool close = !request.persists() || request.body != http::framing::none;
        to_send_ += http_login_answer(close);
        step made{.to_send = bytes_of(to_send_), .guessed = guessed};
        if (close) made.result = verdict::failed;
        if (guessed) made.failure = "The user name or the password is wrong.";
        return made;
    }

    step fail(const std::string& answer, std::string_view why) {
        to_send_ += answer;
        return {
            .result = verdict::failed, .to_send = bytes_of(to_send_), .failure = std::string(why)};
    }

    front_services services_;
    std::string buffer_;
    std::string to_send_;
    http::head_end end_;
    socks5::address target_;
    bool forwards_ = false;
    bool udp_ = false;
};

} // namespace

std::unique_ptr<front> make_http_front(const front_services& services) {
    return std::make_unique<http_front>(services);
}

} // namespace muxsocks::client
