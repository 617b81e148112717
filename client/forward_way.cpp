#include "client/forward_way.hpp"

#include "client/connect_request.hpp"
#include "client/direct_relay.hpp"
#include "protocol/link/loop/let_go.hpp"
#include "protocol/saved_fields.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace muxsocks::client {

// ---- A stream

std::size_t session_way::peek(std::span<bytes_view> views) {
    return driver_->core().peek(*stream_, views);
}

bool session_way::stalled() const {
    return (stream_->opened() && stream_->send.available() == 0) ||
           driver_->current_link() == nullptr;
}

bool session_way::take_last_words() {
    return !driver_->core().closed() && driver_->take_last_words();
}

void session_way::let_go(bool words) {
    if (words)
        driver_->give_last_words();
    else if (stream_->at_end())
        driver_->core().finish(*stream_);
    driver_->core().release(*std::exchange(stream_, nullptr));
}

void session_way::become_tunnel(tcp_socket application, bytes_view early) {
    auto& s = *std::exchange(stream_, nullptr);
    if (!early.empty()) driver_->core().write(s, early);
    const boost::intrusive_ptr<client_relay> tunnel(
        new client_relay(driver_, std::move(application), sink_,
                         static_cast<std::uint8_t>(socks5::reply_code::succeeded), {}));
    tunnel->begin(s);
}

// ---- A connection of the client's own

namespace {

constexpr std::size_t way_read_bytes = 64 * 1024;
constexpr int way_reads_max = 4;

class direct_way final : public forward_way, public direct_end {
  public:
    direct_way(direct_dialer& by, tcp_socket target, std::string destination, stream_owner& owner)
        : by_(by),
          socket_(std::move(target)),
          destination_(std::move(destination)),
          owner_(&owner) {
        by.enlist(*this);
        set_tcp_keepalive(socket_.native_handle(), by.stream_timeouts().keepalive);
    }

    std::size_t peek(std::span<bytes_view> views) override {
        if (unread() == 0) return 0;
        views[0] = bytes_view(input_.get(), end_).subspan(begin_);
        return 1;
    }
    void consume(std::size_t bytes) override {
        begin_ += bytes;
        if (begin_ < end_) return;
        input_.reset();
        begin_ = end_ = 0;
        wait_read();
    }
    std::size_t unread() const override { return end_ - begin_; }
    bool at_end() const override { return ended_ && unread() == 0; }

    void write(bytes_view bytes) override {
        by_.thread().counters().direct_bytes_up += bytes.size();
        put(bytes);
    }
    void on_readable() override { pull(); }
    bool stalled() const override { return !unsent_.empty(); }
    bool has_reply() const override { return false; }
    bool opened() const override { return true; }
    bool take_last_words() override { return !cut_; }

    void let_go(bool /*words*/) override {
        forget_owner();
        if (!at_end()) return close_with_reset(socket_);
        boost::system::error_code ignored;
        socket_.close(ignored);
    }

    void become_tunnel(tcp_socket application, bytes_view early) override {
        forget_owner();
        // What waits was counted by write(), and the relay counts all that it begins with.
        by_.thread().counters().direct_bytes_up -= unsent_.size();
        unsent_.insert(unsent_.end(), early.begin(), early.end());
        const boost::intrusive_ptr<direct_relay> tunnel(new direct_relay(
            by_, std::move(application), std::move(socket_), std::move(destination_)));
        tunnel->start(bytes_view(input_.get(), end_).subspan(begin_), unsent_);
    }

    // ---- A hand-over: with the application's connection, which is found where those are.

    bool save_connection(std::vector<std::uint8_t>&, std::vector<int>&) override { return false; }
    void on_connection_gone() override {}
    int save(std::vector<std::uint8_t>& state) override {
        if (cut_) return -1;
        const auto left = bytes_view(input_.get(), end_).subspan(begin_);
        std::vector<std::uint8_t> input(left.begin(), left.end());
        field_saver fields;
        fields(destination_, input, unsent_, ended_, output_failed_);
        state = std::move(fields.bytes());
        return socket_.native_handle();
    }
    bool load(bytes_view state) {
        std::vector<std::uint8_t> input;
        field_loader fields(state);
        fields(destination_, input, unsent_, ended_, output_failed_);
        if (!fields.done()) return false;
        end_ = input.size();
        if (end_ > 0) {
            input_.reset(new std::uint8_t[end_]);
            std::copy(input.begin(), input.end(), input_.get());
        } else {
            wait_read();
        }
        if (!unsent_.empty()) wait_write();
        return true;
    }
    void on_moved() override {
        owner_ = nullptr;
        if (is_linked()) unlink();
        muxsocks::let_go(socket_);
    }

    void cut() override {
        cut_ = true;
        if (owner_) owner_->on_stream_reset(std::make_error_code(std::errc::connection_aborted));
    }
    void on_timeouts_changed() override { owner_->on_timeouts_changed(); }

    void wait_read() {
        if (waiting_read_ || ended_ || !owner_) return;
        waiting_read_ = true;
        socket_.async_wait(tcp_socket::wait_read,
                           [self = self_ptr(this)](const boost::system::error_code& error) {
                               self->waiting_read_ = false;
                               if (!error && self->owner_) self->read();
                           });
    }

  private:
    using self_ptr = boost::intrusive_ptr<direct_way>;

    void forget_owner() {
        owner_ = nullptr;
        if (is_linked()) unlink();
        boost::system::error_code ignored;
        socket_.cancel(ignored);
    }

    /// What the socket does not take waits for it.
    void put(bytes_view bytes) {
        std::size_t sent = 0;
        while (!output_failed_ && unsent_.empty() && sent < bytes.size()) {
            const auto size = ::send(socket_.native_handle(), bytes.data() + sent,
                                     bytes.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (size < 0 && errno == EINTR) continue;
            if (size < 0 && errno == EAGAIN) break;
            // What the server had said before, and why it takes no more, is still to be read.
            if (size < 0)
                output_failed_ = true;
            else
                sent += static_cast<std::size_t>(size);
        }
        if (output_failed_ || sent == bytes.size()) return;
        unsent_.insert(unsent_.end(), bytes.begin() + static_cast<std::ptrdiff_t>(sent),
                       bytes.end());
        wait_write();
    }

    /// Only when all before has been consumed.
    void read() {
        if (unread() > 0) return;
        input_.reset(new std::uint8_t[way_read_bytes]);
        const auto size =
            ::recv(socket_.native_handle(), input_.get(), way_read_bytes, MSG_DONTWAIT);
        if (size <= 0) input_.reset();
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait_read();
        // The kernel gives an end of file also where a write has taken the socket's error.
        if (size < 0 || (size == 0 && output_failed_))
            return owner_->on_stream_reset(std::make_error_code(std::errc::connection_reset));
        ended_ = size == 0;
        end_ = static_cast<std::size_t>(size);
        by_.thread().counters().direct_bytes_down += end_;
        owner_->on_stream_readable();
    }

    /// What the application has goes to the server, as long as that takes it.
    void pull() {
        const self_ptr self(this);
        const auto buffer = by_.thread().ciphertext().first(way_read_bytes);
        read_slot slot;
        slot.places[0] = buffer;
        slot.count = 1;
        slot.size = buffer.size();
        for (int reads = 0; reads < way_reads_max; ++reads) {
            if (!owner_ || !unsent_.empty()) return;
            const auto got = owner_->read_for_turn(slot);
            if (got.bytes > 0) write(buffer.first(got.bytes));
            if (!owner_) return;
            if (got.failed) return owner_->on_read_failed();
            if (got.outcome != read_outcome::more) return;
        }
        asio::post(by_.thread().context(), [self] { self->pull(); });
    }

    void wait_write() {
        if (waiting_write_) return;
        waiting_write_ = true;
        socket_.async_wait(tcp_socket::wait_write,
                           [self = self_ptr(this)](const boost::system::error_code& error) {
                               self->waiting_write_ = false;
                               if (error || !self->owner_) return;
                               self->put(std::exchange(self->unsent_, {}));
                               if (!self->stalled()) self->pull();
                           });
    }

    direct_dialer& by_;
    tcp_socket socket_;
    std::string destination_;
    stream_owner* owner_;
    std::unique_ptr<std::uint8_t[]> input_; ///< From the server, used from begin_ to end_.
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::vector<std::uint8_t> unsent_; ///< For the server.
    bool ended_ = false;
    bool output_failed_ = false;
    bool cut_ = false;
    bool waiting_read_ = false;
    bool waiting_write_ = false;
};

} // namespace

forward_way_ptr make_direct_way(direct_dialer& by, tcp_socket target, std::string destination,
                                stream_owner& owner) {
    const boost::intrusive_ptr<direct_way> made(
        new direct_way(by, std::move(target), std::move(destination), owner));
    made->wait_read();
    return made;
}

forward_way_ptr resume_direct_way(direct_dialer& by, tcp_socket target, bytes_view state,
                                  stream_owner& owner) {
    const boost::intrusive_ptr<direct_way> made(new direct_way(by, std::move(target), {}, owner));
    if (made->load(state)) return made;
    made->let_go(false);
    return nullptr;
}

} // namespace muxsocks::client
