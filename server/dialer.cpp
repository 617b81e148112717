#include "server/dialer.hpp"

#include "protocol/link/connect_error.hpp"
#include "socks5/reply_code.hpp"

#include <boost/asio/post.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include <cassert>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace muxsocks::server {

namespace {

void set_option(int descriptor, int level, int name) {
    const int on = 1;
    ::setsockopt(descriptor, level, name, &on, sizeof(on));
}

asio::ip::tcp::endpoint local_endpoint(tcp_socket& socket) {
    asio::ip::tcp::endpoint local;
    auto size = static_cast<socklen_t>(local.capacity());
    if (::getsockname(socket.native_handle(), local.data(), &size) == 0) local.resize(size);
    return local;
}

} // namespace

/// One dial, from dial() until it has ended.
///
///     waiting --> running -- cancelled, failed, connected --> ended
///        |           |                                          ^  ^
///        |           +-- connected while half of the lookup     |  |
///        |               is not answered --> lingering ---------+  |
///        +-- cancelled, out of time --> done ----------------------+
///
/// A place is held while it is running. Cancelled and failed ones hold it until their lookup has
/// ended.
class dialer::operation final : public happy_eyeballs,
                                public boost::intrusive::set_base_hook<>,
                                public boost::intrusive::list_base_hook<> {
  public:
    enum class phase : std::uint8_t { waiting, running, lingering, done };
    using key = dial_id;

    operation(const dial_services& services, dialer::state& owner, std::uint16_t port,
              std::shared_ptr<const target_policy> policy, handler done)
        : happy_eyeballs(services),
          owner_(&owner),
          policy_(std::move(policy)),
          done_(std::move(done)),
          executor_(services.context.get_executor()),
          port_(port) {}

    void begin() {
        if (host_.empty()) {
            start(asio::ip::tcp::endpoint(address_, port_));
        } else {
            start(host_, port_);
        }
    }

    void cancel() override {
        // It may end here and now, and with it leave the table that keeps it alive.
        const auto kept = shared_from_this();
        happy_eyeballs::cancel();
        done_.reset();
    }

    dial_id id = 0;
    phase now = phase::waiting;
    deadline::clock::time_point entered = deadline::clock::now();
    deadline::clock::time_point began = entered;
    /// What is dialled: the host if it is not empty, else the address.
    std::string host_;
    asio::ip::address address_;
    /// Keeps the operation alive while it is in the table.
    std::shared_ptr<operation> self;
    /// Null once the dialer is gone.
    dialer::state* owner_;

  private:
    std::error_code admit(const asio::ip::address& address) override;
    void before_connect(int descriptor) override {
        set_option(descriptor, IPPROTO_TCP, TCP_NODELAY);
        set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE);
    }
    void on_connected(tcp_socket&& socket, const asio::ip::tcp::endpoint& peer) override;
    void on_failed(std::error_code error) override;
    void on_ended() override;

    std::shared_ptr<const target_policy> policy_;
    handler done_;
    executor executor_;
    std::uint16_t port_;
    std::string refusal_;
    std::string range_;
};

struct dialer::state {
    state(const dial_services& with, const dial_limits& within, own_addresses known,
          std::shared_ptr<dial_places> shared)
        : services(with),
          limits(within),
          own(std::move(known)),
          places(shared ? std::move(shared) : std::make_shared<dial_places>(within.dials_max)) {
        turn.on_place = [&context = services.context, guard = std::weak_ptr<state*>(self),
                         of = places] {
            asio::post(context, [guard, of] {
                if (const auto alive = guard.lock())
                    (*alive)->on_place();
                else
                    of->give();
            });
        };
    }
    ~state() {
        places->leave_line(turn);
        for (; active > 0; --active)
            places->give();
    }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    struct by_id {
        using type = dial_id;
        const dial_id& operator()(const operation& one) const { return one.id; }
    };
    using table = boost::intrusive::set<operation, boost::intrusive::key_of_value<by_id>>;
    using queue = boost::intrusive::list<operation>;

    /// On a place that it has.
    void begin(operation& one);
    /// A place is there for whoever waits.
    void on_place();
    void give_place();
    void leave_queue(operation& one);
    /// The place is given to the next one, though the lookup goes on.
    void linger(operation& one);
    void on_ended(operation& one);

    dial_services services;
    dial_limits limits;
    own_addresses own;
    std::shared_ptr<dial_places> places;
    dial_places::waiter turn; ///< In line while dials wait, or a place is on its way.
    std::shared_ptr<state*> self = std::make_shared<state*>(this); ///< For posted handlers.
    table operations;
    queue waiting;
    std::size_t active = 0;
    /// Dials that are lingering.
    std::size_t lingering = 0;
    dial_id last_id = 0;
};

std::error_code dialer::operation::admit(const asio::ip::address& address) {
    std::optional<std::string> refusal = policy_->refusal(address, port_, owner_->own);
    if (!refusal) return {};
    if (refusal_.empty()) {
        refusal_ = std::move(*refusal);
        range_ = policy_->range_refused(address, port_, owner_->own);
    }
    return dial_errc::denied;
}

void dialer::operation::on_connected(tcp_socket&& socket, const asio::ip::tcp::endpoint& peer) {
    if (is_looking_up()) owner_->linger(*this);
    const asio::ip::tcp::endpoint local = local_endpoint(socket);
    std::exchange(done_, {})(dial_result{.error = {},
                                         .reason = {},
                                         .range = {},
                                         .socket = std::move(socket),
                                         .local = local,
                                         .peer = peer});
}

void dialer::operation::on_failed(std::error_code error) {
    if (now == phase::waiting) {
        owner_->leave_queue(*this);
        error = dial_errc::waited_too_long;
    }
    // Most of its time went by in the line: that is not the target's fault.
    if (error == std::errc::timed_out && began - entered >= owner_->limits.timeout / 2)
        error = dial_errc::waited_too_long;
    if (error == connect_errc::ttl_expired) error = socks5::reply_code::ttl_expired;
    const bool denied = error == dial_errc::denied;
    std::exchange(done_, {})(dial_result{.error = error,
                                         .reason = denied ? std::move(refusal_) : std::string(),
                                         .range = denied ? std::move(range_) : std::string(),
                                         .socket = tcp_socket(executor_),
                                         .local = {},
                                         .peer = {}});
}

void dialer::operation::on_ended() {
    if (owner_ != nullptr) owner_->on_ended(*this);
}

void dialer::state::begin(operation& one) {
    one.now = operation::phase::running;
    one.began = deadline::clock::now();
    ++active;
    one.begin();
}

void dialer::state::on_place() {
    do {
        if (waiting.empty()) return give_place();
        operation& next = waiting.front();
        waiting.pop_front();
        begin(next);
    } while (!waiting.empty() && places->take_or_wait(turn));
}

void dialer::state::give_place() {
    if (places->give(&turn)) on_place();
}

void dialer::state::leave_queue(operation& one) {
    waiting.erase(waiting.iterator_to(one));
    one.now = operation::phase::done;
}

void dialer::state::linger(operation& one) {
    // Lookups that go on without holding a place are bounded, too.
    if (lingering >= limits.dials_max) return;
    one.now = operation::phase::lingering;
    ++lingering;
    --active;
    give_place();
}

void dialer::state::on_ended(operation& one) {
    const std::shared_ptr<operation> alive = std::move(one.self);
    operations.erase(operations.iterator_to(one));
    if (one.now == operation::phase::waiting) leave_queue(one);
    if (one.now == operation::phase::lingering) --lingering;
    if (one.now != operation::phase::running) return;
    --active;
    give_place();
}

dialer::dialer(const dial_services& services, const dial_limits& limits, own_addresses own,
               std::shared_ptr<dial_places> places)
    : state_(std::make_unique<state>(services, limits, std::move(own), std::move(places))) {}

dialer::~dialer() {
    state_->waiting.clear();
    while (!state_->operations.empty()) {
        operation& one = *state_->operations.begin();
        state_->operations.erase(state_->operations.begin());
        // Handlers may own what calls back into this object; by then the dial is gone from it.
        const std::shared_ptr<operation> alive = std::move(one.self);
        one.owner_ = nullptr;
        one.cancel();
    }
}

dialer::dial_id dialer::dial(const asio::ip::address& address, std::uint16_t port,
                             std::shared_ptr<const target_policy> policy, handler done) {
    auto one = std::make_shared<operation>(state_->services, *state_, port, std::move(policy),
                                           std::move(done));
    one->address_ = address;
    return enter(std::move(one));
}

dialer::dial_id dialer::dial(std::string_view host, std::uint16_t port,
                             std::shared_ptr<const target_policy> policy, handler done) {
    auto one = std::make_shared<operation>(state_->services, *state_, port, std::move(policy),
                                           std::move(done));
    one->host_ = host.empty() ? "." : host; // "." is no name either, and has an error of its own
    return enter(std::move(one));
}

dialer::dial_id dialer::enter(std::shared_ptr<operation> one) {
    operation& entered = *one;
    entered.id = ++state_->last_id;
    entered.self = std::move(one);
    state_->operations.insert(state_->operations.end(), entered);
    entered.expires_at(deadline::clock::now() + state_->limits.timeout);
    if (state_->waiting.empty() && state_->places->take_or_wait(state_->turn)) {
        state_->begin(entered);
    } else {
        state_->waiting.push_back(entered);
    }
    return entered.id;
}

void dialer::cancel(dial_id id) {
    const auto found = state_->operations.find(id);
    if (found != state_->operations.end()) found->cancel();
}

std::size_t dialer::active() const noexcept { return state_->active; }
std::size_t dialer::waiting() const noexcept { return state_->waiting.size(); }

} // namespace muxsocks::server
