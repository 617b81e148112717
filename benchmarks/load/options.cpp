#include "benchmarks/load/options.hpp"

#include "benchmarks/load/datagram.hpp"

#include <boost/program_options.hpp>

#include <charconv>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace muxsocks::load {

namespace {

namespace po = boost::program_options;

constexpr const char* usage_text = R"(Usage: muxsocks-load WORK [options]

Loads a SOCKS5 or HTTP proxy (or a relay, or nothing) and prints one line of JSON.

Works
  target        serves the others until SIGTERM: echo, downloads, uploads
  throughput    --streams bulk transfers, for --seconds or --bytes each
  connections   opens, echoes one byte, closes; --streams at once, for --seconds or --count
  round-trips   one byte to and fro on --streams connections, for --seconds
  interactive   a byte to and fro every --interval, and connections one after another, beside
                --bulk streams, for --seconds after --from
  datagrams     datagrams of --size to and fro by --streams UDP associations, --rate a second of each
                or as many as --window allows, beside --bulk streams, for --seconds after --from
  idle          opens --streams, each carries --bytes both ways, then holds them idle for --hold

Every transfer's length and hash are checked at both ends. Exit status: 0; 1 something failed;
2 wrong command line; 3 wrong bytes.

Options)";

work parse_work(const std::string& name) {
    static const std::map<std::string, work> names{{"target", work::target},
                                                   {"throughput", work::throughput},
                                                   {"connections", work::connections},
                                                   {"round-trips", work::round_trips},
                                                   {"interactive", work::interactive},
                                                   {"datagrams", work::datagrams},
                                                   {"idle", work::idle}};
    const auto found = names.find(name);
    if (found == names.end()) throw std::runtime_error("unknown work \"" + name + "\"; see --help");
    return found->second;
}

direction parse_direction(const std::string& name) {
    if (name == "down") return direction::down;
    if (name == "up") return direction::up;
    throw std::runtime_error("--direction is down or up, not \"" + name + "\"");
}

std::vector<pid_t> parse_pids(const std::string& text) {
    std::vector<pid_t> pids;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        pid_t pid = 0;
        const auto parsed = std::from_chars(part.data(), part.data() + part.size(), pid);
        if (parsed.ec != std::errc{} || parsed.ptr != part.data() + part.size() || pid <= 0) {
            throw std::runtime_error("\"" + part + "\" is no process id; expected --pids 12,34");
        }
        pids.push_back(pid);
    }
    return pids;
}

std::chrono::milliseconds seconds(double value) {
    if (value < 0) throw std::runtime_error("a time is negative");
    return std::chrono::milliseconds(static_cast<std::int64_t>(value * 1000));
}

po::options_description describe() {
    po::options_description all;
    // clang-format off
    all.add_options()
        ("help,h", "this text")
        ("listen", po::value<std::vector<std::string>>(), "target: where to listen; port 0 is any")
        ("target", po::value<std::string>(), "the target, as the proxy reaches it")
        ("socks", po::value<std::string>(), "through this SOCKS5 proxy")
        ("http", po::value<std::string>(), "through this HTTP proxy, by CONNECT")
        ("forward", po::value<std::string>(),
         "through this HTTP proxy, by requests that it forwards; downloads and echoes only")
        ("relay", po::value<std::string>(), "through this relay, which leads to the target")
        ("control", po::value<std::string>(), "the target for its counters (default: --target)")
        ("congestion", po::value<std::string>()->default_value(""), "TCP congestion control")
        ("pids", po::value<std::string>()->default_value(""), "processes to measure: 12,34")
        ("helpers", po::value<std::string>()->default_value(""),
         "processes that take part but are not measured: the target, relays")
        ("direction", po::value<std::string>()->default_value("down"), "down or up")
        ("streams,n", po::value<std::size_t>()->default_value(1), "how many at once")
        ("seconds,t", po::value<double>()->default_value(5), "how long")
        ("bytes,b", po::value<std::uint64_t>()->default_value(0), "payload of a stream")
        ("count", po::value<std::uint64_t>()->default_value(0), "connections: how many in all")
        ("from", po::value<double>()->default_value(0),
         "throughput, interactive, datagrams: leave so many seconds out of the window")
        ("interval", po::value<double>()->default_value(0.05),
         "interactive, datagrams: seconds from one key, or question, to the next")
        ("size", po::value<std::size_t>()->default_value(40), "datagrams: bytes of each")
        ("rate", po::value<double>()->default_value(0),
         "datagrams: so many a second of each association; 0: as --window allows")
        ("window", po::value<std::uint64_t>()->default_value(64),
         "datagrams: so many of each association are under way at most")
        ("flow", po::value<std::uint64_t>()->default_value(0),
         "datagrams: a download of so many bytes by datagrams, as QUIC does it, beside them")
        ("questions", po::bool_switch(),
         "datagrams: every --interval, a question by an association of its own beside them")
        ("idle", po::value<std::size_t>()->default_value(0),
         "throughput: so many streams are open and idle meanwhile")
        ("stalled", po::value<std::size_t>()->default_value(0),
         "throughput: so many downloads are not read meanwhile")
        ("stalled-bytes", po::value<std::uint64_t>()->default_value(0),
         "throughput: length of the stalled downloads, which are read at the end")
        ("bulk", po::value<std::size_t>()->default_value(0),
         "round-trips, interactive, datagrams: so many bulk streams (--direction) run meanwhile")
        ("hold", po::value<double>()->default_value(10), "idle: seconds before memory is read")
        ("time-limit", po::value<double>()->default_value(60),
         "seconds for opening, and for ending, before the work counts as failed");
    // clang-format on
    return all;
}

void read_route(const po::variables_map& values, options& result) {
    if (values.count("target") == 0) throw std::runtime_error("--target is missing");
    result.way.target = endpoint::parse(values["target"].as<std::string>());
    result.way.settings.congestion = values["congestion"].as<std::string>();
    result.control = result.way.target;
    if (values.count("control") != 0) {
        result.control = endpoint::parse(values["control"].as<std::string>());
    }
    bool found = false;
    for (const auto& [name, place] : {std::pair{"socks", &result.way.socks},
                                      {"http", &result.way.http},
                                      {"forward", &result.way.forwarder},
                                      {"relay", &result.way.direct}}) {
        if (values.count(name) == 0) continue;
        if (std::exchange(found, true))
            throw std::runtime_error("--socks, --http, --forward and --relay exclude each other");
        *place = endpoint::parse(values[name].as<std::string>());
    }
    if (!found) result.way.direct = result.way.target;
}

} // namespace

std::optional<options> read_options(int argc, const char* const* argv) {
    const auto all = describe();
    if (argc < 2 || std::string(argv[1]) == "--help" || std::string(argv[1]) == "-h") {
        std::cout << usage_text << all;
        return std::nullopt;
    }
    options result;
    result.what = parse_work(argv[1]);
    po::variables_map values;
    po::store(po::command_line_parser(argc - 1, argv + 1).options(all).run(), values);
    po::notify(values);
    if (values.count("help") != 0) {
        std::cout << usage_text << all;
        return std::nullopt;
    }
    if (result.what == work::target) {
        if (values.count("listen") == 0) throw std::runtime_error("--listen is missing");
        for (const auto& text : values["listen"].as<std::vector<std::string>>()) {
            result.listen.push_back(endpoint::parse(text));
        }
        result.way.settings.congestion = values["congestion"].as<std::string>();
        return result;
    }
    read_route(values, result);
    result.pids = parse_pids(values["pids"].as<std::string>());
    result.helpers = parse_pids(values["helpers"].as<std::string>());
    result.towards = parse_direction(values["direction"].as<std::string>());
    result.streams = values["streams"].as<std::size_t>();
    result.duration = seconds(values["seconds"].as<double>());
    result.bytes = values["bytes"].as<std::uint64_t>();
    result.count = values["count"].as<std::uint64_t>();
    result.from = seconds(values["from"].as<double>());
    result.beside_idle = values["idle"].as<std::size_t>();
    result.beside_stalled = values["stalled"].as<std::size_t>();
    result.stalled_bytes = values["stalled-bytes"].as<std::uint64_t>();
    result.beside_bulk = values["bulk"].as<std::size_t>();
    result.interval = seconds(values["interval"].as<double>());
    result.hold = seconds(values["hold"].as<double>());
    result.time_limit = seconds(values["time-limit"].as<double>());
    if (result.streams == 0) throw std::runtime_error("--streams must be at least 1");
    if (result.interval.count() < 1) throw std::runtime_error("--interval is under a millisecond");
    result.size = values["size"].as<std::size_t>();
    result.rate = values["rate"].as<double>();
    result.window = values["window"].as<std::uint64_t>();
    result.flow = values["flow"].as<std::uint64_t>();
    result.questions = values["questions"].as<bool>();
    if (result.size < sizeof(datagram_head) || result.size > datagram_bytes_max)
        throw std::runtime_error("--size is not between " + std::to_string(sizeof(datagram_head)) +
                                 " and " + std::to_string(datagram_bytes_max));
    if (result.what == work::datagrams && (result.way.http || result.way.forwarder))
        throw std::runtime_error("datagrams go by --socks or by none");
    if (result.way.forwarder && result.towards == direction::up)
        throw std::runtime_error("--forward carries no uploads");
    // There, --seconds begin after --from.
    if (result.what == work::interactive || result.what == work::datagrams) return result;
    if (result.from >= result.duration && result.bytes == 0 && result.from.count() != 0) {
        throw std::runtime_error("--from must lie before the end of --seconds");
    }
    return result;
}

} // namespace muxsocks::load
