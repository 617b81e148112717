#include "client/answer_language.hpp"

namespace muxsocks::client {
namespace {

class socks5_language final : public answer_language {
    kind which() const override { return kind::socks5; }
    bool passes_replies() const override { return true; }
    std::vector<std::uint8_t> granted(const socks5::address& bnd) const override {
        return socks5::encode(socks5::make_reply(socks5::reply_code::succeeded, bnd));
    }
    std::vector<std::uint8_t> refused(const refusal& why) const override {
        return socks5::encode(socks5::make_reply(why.rep));
    }
};

class no_language final : public answer_language {
    kind which() const override { return kind::none; }
    bool is_unheard() const override { return true; }
    std::vector<std::uint8_t> granted(const socks5::address&) const override { return {}; }
    std::vector<std::uint8_t> refused(const refusal&) const override { return {}; }
};

} // namespace

const answer_language& no_answers() {
    static const no_language language;
    return language;
}

const answer_language& socks5_answers() {
    static const socks5_language language;
    return language;
}

const answer_language* find_language(answer_language::kind which) {
    switch (which) {
    case answer_language::kind::socks5:
        return &socks5_answers();
    case answer_language::kind::socks4:
        return &socks4_answers();
    case answer_language::kind::http:
        return &http_answers();
    case answer_language::kind::none:
        return &no_answers();
    }
    return nullptr;
}

} // namespace muxsocks::client
