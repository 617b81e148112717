#include "protocol/program/status_text.hpp"

#include "protocol/program/log.hpp"
#include "protocol/program/values.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace muxsocks {
namespace {

using nlohmann::json;

std::string size_text(double count) {
    constexpr std::array units{"B", "kB", "MB", "GB", "TB"};
    std::size_t unit = 0;
    for (; count >= 1000 && unit + 1 < units.size(); ++unit)
        count /= 1000;
    return unit == 0 ? fmt::format("{:.0f} B", count)
                     : fmt::format("{:.1f} {}", count, units[unit]);
}

std::string time_text(double seconds) {
    if (seconds <= 0) return "-";
    if (seconds < 1) return fmt::format("{:.1f} ms", seconds * 1000);
    if (seconds < 120) return fmt::format("{:.0f} s", seconds);
    if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
    if (seconds < 172'800) return fmt::format("{:.0f} h", seconds / 3600);
    return fmt::format("{:.0f} d", seconds / 86'400);
}

/// Text of a peer's or a user's, made safe to print.
std::string safe_text(const json& value) { return log::escape(value.get<std::string>()); }

/// Columns as wide as they have to be.
class text_table {
  public:
    explicit text_table(std::vector<std::string> head) : rows_{std::move(head)} {}
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

    [[nodiscard]] std::string text() const {
        std::vector<std::size_t> widths(rows_.front().size());
        for (const auto& row : rows_)
            for (std::size_t i = 0; i < row.size(); ++i)
                widths[i] = std::max(widths[i], row[i].size());
        std::string made;
        for (const auto& row : rows_) {
            std::string line;
            for (std::size_t i = 0; i < row.size(); ++i)
                line += fmt::format("{:<{}}", row[i], widths[i] + 2);
            line.erase(line.find_last_not_of(' ') + 1);
            made += line + "\n";
        }
        return made;
    }

  private:
    std::vector<std::vector<std::string>> rows_;
};

std::string since_text(double then) {
    return time_text(
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() -
        then);
}

std::string sessions_text(const json& sessions) {
    text_table made(
        {"SESSION", "STATE", "ROUND TRIP", "STREAMS", "UP", "DOWN", "RESUMED", "LINK SINCE"});
    for (const auto& each : sessions) {
        const auto& links = each.at("links");
        made.add({safe_text(each.at("name")),
                  safe_text(each.at("state")) +
                      (each.contains("reason") ? ": " + safe_text(each.at("reason")) : ""),
                  time_text(each.at("rtt_seconds")), std::to_string(each.at("streams").get<long>()),
                  size_text(each.at("bytes_up")), size_text(each.at("bytes_down")),
                  std::to_string(each.at("resumed").get<long>()),
                  links.empty() ? "-" : time_text(links.front().at("age_seconds"))});
    }
    return made.text();
}

std::string users_text(const json& document) {
    text_table made({"USER", "SESSIONS", "STREAMS", "UP", "DOWN"});
    for (const auto& each : document.at("users"))
        made.add({each.at("name") == "" ? "(no name)" : safe_text(each.at("name")),
                  std::to_string(each.at("sessions").get<long>()),
                  std::to_string(each.at("streams").get<long>()), size_text(each.at("bytes_up")),
                  size_text(each.at("bytes_down"))});
    return made.text();
}

std::string date_text(const json& document, const char* member) {
    if (!document.contains(member)) return "-";
    const std::chrono::sys_seconds time{
        std::chrono::seconds(static_cast<std::int64_t>(document.at(member).get<double>()))};
    return time.time_since_epoch().count() == 0 ? "-" : format_time(time);
}

std::string usage_text(const json& document) {
    text_table made({"USER", "UP", "DOWN", "SINCE", "PER", "UP", "DOWN", "QUOTA", "USED", "UNTIL"});
    for (const auto& each : document.at("users")) {
        const bool quota = each.contains("quota_bytes");
        const auto used = [&] {
            return fmt::format("{:.0f} %", 100 * each.at("quota_used").get<double>() /
                                               each.at("quota_bytes").get<double>());
        };
        made.add({safe_text(each.at("name")), size_text(each.at("total_up")),
                  size_text(each.at("total_down")), date_text(each, "since"),
                  safe_text(each.at("per")), size_text(each.at("period_up")),
                  size_text(each.at("period_down")),
                  quota ? size_text(each.at("quota_bytes")) : "-", quota ? used() : "-",
                  date_text(each, "period_end")});
    }
    return made.text();
}

std::string streams_text(const json& document) {
    text_table made({"STREAM", "SESSION", "DESTINATION", "UP", "DOWN", "AGE"});
    for (const auto& each : document.at("streams"))
        made.add({std::to_string(each.at("id").get<long>()), safe_text(each.at("session")),
                  each.contains("destination") ? safe_text(each.at("destination")) : "-",
                  size_text(each.at("bytes_up")), size_text(each.at("bytes_down")),
                  time_text(each.at("age_seconds"))});
    return made.text();
}

std::string overview(const json& document, bool coloured) {
    const bool ready = document.at("ready");
    const auto paint = [&](const char* colour, const std::string& text) {
        return coloured ? "\x1b[" + std::string(colour) + "m" + text + "\x1b[0m" : text;
    };
    const auto& totals = document.at("totals");
    auto text = fmt::format(
        "{} {}, {}, up for {}\n{} streams, {} waiting, {} up and {} down, {} resumed, {} held\n\n",
        safe_text(document.at("program")), safe_text(document.at("release")),
        ready ? paint("32", "ready") : paint("31", "not ready"), since_text(document.at("started")),
        document.at("streams").get<long>(), document.at("waiting").get<long>(),
        size_text(totals.at("bytes_up")), size_text(totals.at("bytes_down")),
        totals.at("resumed").get<long>(), size_text(document.at("memory_held")));
    if (document.contains("direct") && document.at("direct").at("opened") > 0) {
        const auto& direct = document.at("direct");
        text += fmt::format("{} direct connections, {} opened, {} up and {} down\n\n",
                            direct.at("open").get<long>(), direct.at("opened").get<long>(),
                            size_text(direct.at("bytes_up")), size_text(direct.at("bytes_down")));
    }
    text += sessions_text(document.at("sessions"));
    if (document.contains("users")) text += "\n" + users_text(document);
    if (!document.at("problems").empty()) text += "\n";
    for (const auto& each : document.at("problems"))
        text += fmt::format("{} ago: {}\n", since_text(each.at("time")),
                            paint("33", log::escape(each.at("message").get<std::string>(), 1024)));
    return text;
}

} // namespace

std::string status_text(const std::string& word, const std::string& document, bool coloured) {
    try {
        const auto parsed = json::parse(document);
        if (word == "status") return overview(parsed, coloured);
        if (word == "users") return users_text(parsed);
        if (word == "usage") return usage_text(parsed);
        if (word == "streams") return streams_text(parsed);
        const auto ended = parsed.at("sessions_ended").get<long>();
        return fmt::format("{} session{} ended\n", ended, ended == 1 ? "" : "s");
    } catch (const json::exception&) {
        throw std::runtime_error("the answer is no status that this program knows");
    }
}

} // namespace muxsocks
