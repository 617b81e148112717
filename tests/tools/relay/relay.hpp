#pragma once

/// \file
/// The relay: accepts on one address, carries each connection to the target as the settings say,
/// and offers what the commands of command.hpp do to its connections. One thread, one io_context.

#include "tests/tools/relay/connection.hpp"
#include "tests/tools/relay/settings.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace muxsocks::tools {

/// Which connections a cut is for.
enum class selection { all, oldest, newest };

class relay {
  public:
    /// Listens at once; throws boost::system::system_error if it cannot.
    relay(context& shared, const asio::ip::tcp::endpoint& listen);

    settings& config() { return shared_.config; }
    random_engine& random() { return shared_.random; }
    asio::ip::tcp::endpoint local_endpoint() const { return listen_; }

    /// Lets every connection act on changed settings.
    void settings_changed();

    void cut(cut_style style, cut_side side, selection which);
    void cut_in(direction way, const range<std::uint64_t>& bytes, cut_style style);
    void swallow(direction way);

    /// Closes the listener, so that the kernel refuses new connections, or opens it again on the
    /// same port.
    void refuse(bool on);

    /// One line of JSON: totals since the start, and what is inside now.
    std::string describe() const;

  private:
    void open_listener();
    void accept();
    void carry(tcp_socket client);
    void for_each(selection which, const std::function<void(connection&)>& action);

    context& shared_;
    asio::ip::tcp::endpoint listen_;
    tcp_acceptor acceptor_;
    steady_timer accept_pause_;
    std::map<std::uint64_t, std::weak_ptr<connection>> connections_;
    std::uint64_t next_id_ = 0;
};

} // namespace muxsocks::tools
