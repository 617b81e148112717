// muxsocks-herd: a thousand clients, each on an address of its own, to see how they come back when
// their server does. It runs the real link supervisors of the client, without listeners.
//
//     muxsocks-herd CLIENT.JSON CLIENTS WAITING
//
// Commands on standard input: `mark` begins to count (the server is back), `stats` prints one line
// of JSON: how many links are up, and when after the mark each came back (milliseconds, sorted);
// `hurry` makes the first WAITING clients have a request that waits. End of file ends it.

#include "client/link_supervisor.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/resources.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace {

using namespace muxsocks;
using namespace std::chrono_literals;

/// 127.x.y.z for the n-th client, none of them 127.0.0.1.
::sockaddr_in source_of(std::size_t n) {
    ::sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(0x7f10'0001U + static_cast<std::uint32_t>(n));
    return source;
}

class herd final : public client::link_supervisor::watcher {
  public:
    herd(std::shared_ptr<const client::link_recipe> recipe, std::size_t clients,
         std::size_t waiting)
        : budget_(std::size_t{4} << 30),
          thread_(budget_),
          resolver_(thread_.context(), thread_.clock(), {}),
          services_{thread_.context(), thread_.clock(), resolver_, 250ms, false},
          waiting_(waiting),
          input_(thread_.context().get_executor(), 0) {
        for (std::size_t i = 0; i < clients; ++i) {
            auto own = std::make_shared<client::link_recipe>(*recipe);
            own->before_connect = [source = source_of(i)](int descriptor) {
                (void)::bind(descriptor, reinterpret_cast<const ::sockaddr*>(&source),
                             sizeof source);
            };
            links_.push_back(std::make_unique<client::link_supervisor>(
                thread_, services_, own, own->settings.servers.front(), *this));
        }
    }

    void run() {
        for (const auto& each : links_)
            each->start();
        read_command();
        thread_.context().run();
    }

  private:
    void on_link_available(client::link_supervisor& from) override {
        const auto after = std::chrono::steady_clock::now() - marked_;
        const bool hurried = index_of(from) < waiting_;
        (hurried ? back_hurried_ : back_)
            .push_back(std::chrono::duration_cast<std::chrono::milliseconds>(after).count());
    }
    void on_link_retiring(client::link_supervisor&) override {}
    void on_link_failed(client::link_supervisor& from) override {
        // A request waits there, as in link_pool.
        if (hurrying_ && index_of(from) < waiting_)
            asio::post(thread_.context(), [&from] { from.hurry(); });
    }

    std::size_t index_of(const client::link_supervisor& one) const {
        return static_cast<std::size_t>(
            std::find_if(links_.begin(), links_.end(),
                         [&](const auto& each) { return each.get() == &one; }) -
            links_.begin());
    }

    void read_command() {
        asio::async_read_until(input_, buffer_, '\n',
                               [this](const boost::system::error_code& error, std::size_t) {
                                   if (error) return thread_.context().stop();
                                   std::istream lines(&buffer_);
                                   std::string line;
                                   std::getline(lines, line);
                                   on_command(line);
                                   read_command();
                               });
    }

    void on_command(const std::string& line) {
        if (line == "mark") {
            marked_ = std::chrono::steady_clock::now();
            back_.clear();
            back_hurried_.clear();
        } else if (line == "hurry") {
            hurrying_ = true;
            for (std::size_t i = 0; i < waiting_; ++i)
                links_[i]->hurry();
        }
        const auto up = std::count_if(links_.begin(), links_.end(),
                                      [](const auto& each) { return each->available(); });
        std::printf("{\"up\": %td, \"back_ms\": %s, \"hurried_ms\": %s}\n", up, list(back_).c_str(),
                    list(back_hurried_).c_str());
        std::fflush(stdout);
    }

    static std::string list(std::vector<std::int64_t> values) {
        std::sort(values.begin(), values.end());
        std::string out = "[";
        for (const auto value : values)
            out += (out.size() > 1 ? ", " : "") + std::to_string(value);
        return out + "]";
    }

    memory_budget budget_;
    link_thread thread_;
    resolver resolver_;
    dial_services services_;
    std::size_t waiting_;
    std::vector<std::unique_ptr<client::link_supervisor>> links_;
    asio::posix::basic_stream_descriptor<executor> input_;
    asio::streambuf buffer_;
    std::chrono::steady_clock::time_point marked_ = std::chrono::steady_clock::now();
    std::vector<std::int64_t> back_;
    std::vector<std::int64_t> back_hurried_;
    bool hurrying_ = false;
};

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: muxsocks-herd CLIENT.JSON CLIENTS WAITING\n", stderr);
        return 2;
    }
    try {
        std::signal(SIGPIPE, SIG_IGN);
        raise_file_limit();
        command_line line;
        line.config_path = argv[1];
        auto loaded = client::load_config(line);
        log::open(loaded.settings.log);
        herd(client::make_recipe(std::move(loaded.settings)), std::strtoul(argv[2], nullptr, 10),
             std::strtoul(argv[3], nullptr, 10))
            .run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "muxsocks-herd: %s\n", error.what());
        return 1;
    }
}
