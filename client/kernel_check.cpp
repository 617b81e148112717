#include "client/kernel_check.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

/// From these round trips on it matters.
constexpr auto bbr_round_trip = 1ms;
constexpr auto room_round_trip = 20ms;
/// 12 MB/s at 150 ms with loss need more than the usual 4 MiB; this is enough for ten times that.
constexpr std::uint64_t room_bytes = 16ULL << 20;

bool has_word(const std::string& text, const std::string& word) {
    std::istringstream words(text);
    return std::find(std::istream_iterator<std::string>(words), {}, word) !=
           std::istream_iterator<std::string>();
}

/// The last of the three numbers; 0 if there are none.
std::uint64_t most_of(const std::string& text) {
    std::istringstream numbers(text);
    std::uint64_t least = 0;
    std::uint64_t usual = 0;
    std::uint64_t most = 0;
    numbers >> least >> usual >> most;
    return numbers ? most : 0;
}

std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

void look_at_room(const char* name, const std::string& text, const char* usual, bool in_container,
                  std::vector<kernel_lack>& lacks) {
    const auto most = most_of(text);
    if (most == 0 || most >= room_bytes) return;
    const auto setting = std::string("net.ipv4.") + name + "=\"4096 " + usual + " 67108864\"";
    lacks.push_back({std::string("the most that a connection may have under way is ") +
                         std::to_string(most >> 10) + " KiB (net.ipv4." + name +
                         "), which slows down links over long lines",
                     in_container
                         ? "give the container its own value: sysctls " + setting +
                               " in Compose, --sysctl " + setting + " of docker run"
                         : "sysctl -w " + setting + ", and the same in /etc/sysctl.d, to stay"});
}

} // namespace

std::vector<kernel_lack> kernel_lacks(const kernel_facts& facts, const std::string& congestion,
                                      std::chrono::nanoseconds round_trip) {
    std::vector<kernel_lack> lacks;
    if (congestion == "auto" && round_trip > bbr_round_trip && !facts.congestion_controls.empty() &&
        !has_word(facts.congestion_controls, "bbr"))
        lacks.push_back(
            {"the kernel has not loaded BBR, without which each lost packet slows the link down",
             facts.in_container
                 ? "on the machine that runs this container: modprobe tcp_bbr, and tcp_bbr in a "
                   "file below /etc/modules-load.d, to stay; likewise at the server"
                 : "modprobe tcp_bbr, and tcp_bbr in a file below /etc/modules-load.d, to stay; "
                   "likewise on the server"});
    if (round_trip > room_round_trip) {
        look_at_room("tcp_wmem", facts.wmem, "16384", facts.in_container, lacks);
        look_at_room("tcp_rmem", facts.rmem, "131072", facts.in_container, lacks);
    }
    return lacks;
}

kernel_facts read_kernel_facts() {
    kernel_facts facts;
    facts.congestion_controls = first_line("/proc/sys/net/ipv4/tcp_available_congestion_control");
    facts.wmem = first_line("/proc/sys/net/ipv4/tcp_wmem");
    facts.rmem = first_line("/proc/sys/net/ipv4/tcp_rmem");
    std::error_code ignored;
    for (const char* const mark : {"/.dockerenv", "/run/.containerenv", "/run/systemd/container"})
        facts.in_container = facts.in_container || std::filesystem::exists(mark, ignored);
    facts.in_container = facts.in_container || std::getenv("KUBERNETES_SERVICE_HOST") != nullptr;
    return facts;
}

} // namespace muxsocks::client
