#include "protocol/program/certificate_watch.hpp"

#include "protocol/program/log.hpp"

#include <ctime>

namespace muxsocks {
namespace {

using namespace std::chrono_literals;

constexpr auto look_interval = 1s;
constexpr auto warning_interval = 24h;
constexpr auto soon = 14 * 24h;

std::string date_text(std::chrono::system_clock::time_point time) {
    const auto seconds = std::chrono::system_clock::to_time_t(time);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%d", &parts)};
}

} // namespace

file_states look_at(const std::vector<std::string>& files) {
    file_states states;
    for (const auto& file : files)
        if (!file.empty())
            (void)states.emplace_back(file).has_changed(std::chrono::steady_clock::now());
    return states;
}

std::optional<std::string> expiry_warning(const std::string& file,
                                          std::chrono::system_clock::time_point not_after,
                                          std::chrono::system_clock::time_point now) {
    if (not_after - now > soon) return std::nullopt;
    const auto which = "the certificate in \"" + file + "\" ";
    if (not_after <= now) return which + "has expired on " + date_text(not_after) + ": renew it";
    const auto days = std::chrono::duration_cast<std::chrono::hours>(not_after - now) / 24h;
    return which + "expires on " + date_text(not_after) +
           (days > 0 ? ", in " + std::to_string(days) + (days > 1 ? " days" : " day")
                     : ", in less than a day") +
           ": renew it";
}

std::string describe_renewal(const tls_context& old, const tls_context& next) {
    if (!next.certificate_not_after()) return "the authorities of tls.ca";
    auto text = "the certificate is valid until " + date_text(*next.certificate_not_after());
    if (next.certificate_pin() != old.certificate_pin())
        text += ", and its key is a new one, with the pin " + pin_text(*next.certificate_pin());
    return text;
}

certificate_watch::certificate_watch(deadlines& clock, std::function<void()> on_change)
    : on_change_(std::move(on_change)),
      next_look_(clock, [this] { look(); }),
      next_warning_(clock, [this] { warn(); }) {}

void certificate_watch::watch(file_states seen, const std::string& certificate_file,
                              const tls_context* context) {
    files_ = std::move(seen);
    changed_ = false;
    certificate_file_ = certificate_file;
    not_after_ = context ? context->certificate_not_after() : std::nullopt;
    next_look_.cancel();
    if (!files_.empty()) next_look_.expires_after(look_interval);
    warn();
}

void certificate_watch::look() {
    next_look_.expires_after(look_interval);
    bool changed = false;
    for (auto& file : files_)
        changed = file.has_changed(std::chrono::steady_clock::now()) || changed;
    if (changed) {
        changed_ = true;
    } else if (std::exchange(changed_, false)) {
        on_change_();
    }
}

void certificate_watch::warn() {
    next_warning_.cancel();
    if (!not_after_) return;
    const auto now = std::chrono::system_clock::now();
    if (const auto warning = expiry_warning(certificate_file_, *not_after_, now))
        log::warning("{}", *warning);
    next_warning_.expires_after(warning_interval);
}

} // namespace muxsocks
