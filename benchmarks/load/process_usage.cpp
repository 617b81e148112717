#include "benchmarks/load/process_usage.hpp"

#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace muxsocks::load {

namespace {

struct process_stat {
    pid_t parent = 0;
    double user_seconds = 0;
    double system_seconds = 0;
};

double tick_seconds() {
    static const double seconds = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
    return seconds;
}

/// /proc/PID/stat, fields as proc(5) numbers them: 4 ppid, 14 utime, 15 stime, 16 cutime, 17
/// cstime.
bool read_stat(const std::string& pid, process_stat& result) {
    std::ifstream file("/proc/" + pid + "/stat");
    std::string line;
    if (!std::getline(file, line)) return false;
    const std::size_t behind_name = line.rfind(')'); // the name may hold spaces and parentheses
    if (behind_name == std::string::npos) return false;
    std::istringstream fields(line.substr(behind_name + 1));
    std::vector<std::string> values;
    for (std::string value; values.size() < 15 && fields >> value;)
        values.push_back(value);
    if (values.size() < 15) return false;
    const auto field = [&](std::size_t number) { return std::stod(values[number - 3]); };
    result.parent = static_cast<pid_t>(field(4));
    result.user_seconds = (field(14) + field(16)) * tick_seconds();
    result.system_seconds = (field(15) + field(17)) * tick_seconds();
    return true;
}

std::map<pid_t, process_stat> all_processes() {
    std::map<pid_t, process_stat> result;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        const std::string name = entry.path().filename().string();
        pid_t pid = 0;
        const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (parsed.ec != std::errc{} || parsed.ptr != name.data() + name.size()) continue;
        process_stat stat;
        if (read_stat(name, stat)) result[pid] = stat;
    }
    return result;
}

/// smaps_rollup walks the pages and is exact; the counters in status may lag by some 100 KiB.
void add_memory(pid_t pid, process_usage& usage) {
    const std::string folder = "/proc/" + std::to_string(pid);
    std::ifstream file(folder + "/smaps_rollup");
    std::string name;
    std::uint64_t kibibytes = 0;
    std::uint64_t resident = 0;
    std::uint64_t anonymous = 0;
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line);
        if (!(fields >> name >> kibibytes)) continue;
        if (name == "Rss:") resident = kibibytes;
        if (name == "Anonymous:") anonymous = kibibytes;
    }
    if (resident == 0) {
        std::ifstream status(folder + "/status");
        for (std::string line; std::getline(status, line);) {
            std::istringstream fields(line);
            if (!(fields >> name >> kibibytes)) continue;
            if (name == "VmRSS:") resident = kibibytes;
            if (name == "RssAnon:") anonymous = kibibytes;
        }
    }
    usage.resident_bytes += resident * 1024;
    usage.anonymous_bytes += anonymous * 1024;
}

void add_tree(pid_t pid, const std::map<pid_t, process_stat>& all,
              const std::multimap<pid_t, pid_t>& children, process_usage& usage) {
    const auto found = all.find(pid);
    if (found == all.end()) return;
    usage.user_seconds += found->second.user_seconds;
    usage.system_seconds += found->second.system_seconds;
    ++usage.processes;
    add_memory(pid, usage);
    const auto [begin, end] = children.equal_range(pid);
    for (auto child = begin; child != end; ++child)
        add_tree(child->second, all, children, usage);
}

} // namespace

std::vector<process_usage> usage_of(const std::vector<pid_t>& pids) {
    std::vector<process_usage> result(pids.size());
    if (pids.empty()) return result;
    const auto all = all_processes();
    std::multimap<pid_t, pid_t> children;
    for (const auto& [pid, stat] : all)
        children.emplace(stat.parent, pid);
    for (std::size_t i = 0; i < pids.size(); ++i)
        add_tree(pids[i], all, children, result[i]);
    return result;
}

double machine_busy_seconds() {
    // cpu user nice system idle iowait irq softirq steal
    std::ifstream file("/proc/stat");
    std::string name;
    std::array<double, 8> values{};
    file >> name;
    for (double& value : values)
        file >> value;
    return (values[0] + values[1] + values[2] + values[5] + values[6]) * tick_seconds();
}

double own_cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

} // namespace muxsocks::load
