/// \file
/// muxsocks-load: puts a defined load on a SOCKS5 proxy and tells what it cost. One work a run, one
/// line of JSON; benchmarks/compare runs many of them.

#include "benchmarks/load/options.hpp"
#include "benchmarks/load/target.hpp"
#include "benchmarks/load/works.hpp"

#include <exception>
#include <iostream>

namespace {

using namespace muxsocks::load;

int run(const options& what) {
    raise_descriptor_limit();
    if (what.what == work::target) {
        run_target(what.listen, what.way.settings);
        return 0;
    }
    outcome ends;
    json result;
    switch (what.what) {
    case work::throughput:
        result = measure_throughput(what, ends);
        break;
    case work::connections:
        result = measure_connections(what, ends);
        break;
    case work::round_trips:
        result = measure_round_trips(what, ends);
        break;
    case work::interactive:
        result = measure_interactive(what, ends);
        break;
    case work::datagrams:
        result = measure_datagrams(what, ends);
        break;
    case work::idle:
        result = measure_idle(what, ends);
        break;
    case work::target:
        break;
    }
    ends.write_to(result);
    std::cout << result.dump() << std::endl;
    return ends.status();
}

} // namespace

int main(int argc, char** argv) {
    std::optional<options> what;
    try {
        what = read_options(argc, argv);
        if (!what) return 0;
    } catch (const std::exception& error) {
        std::cerr << "muxsocks-load: " << error.what() << '\n';
        return 2;
    }
    try {
        return run(*what);
    } catch (const std::exception& error) {
        std::cerr << "muxsocks-load: " << error.what() << '\n';
        return 1;
    }
}
