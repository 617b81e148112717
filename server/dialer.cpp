#include "server/dialer.hpp"

#include "protocol/link/dial/connect_error.hpp"
#include "protocol/link/dial/host_name.hpp"
#include "protocol/program/log.hpp"
#include "socks5/reply_code.hpp"

#include <boost/asio/post.hpp>
#include <boost/intrusive/set.hpp>

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

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

/// Once in a process's life: later the statistics tell it.
void say_that_some_wait(const char* what, const char* key, const shared_places& places,
                        std::string_view user, std::size_t most) {
    const auto counts = places.now();
    log::warning("{} wait for a place now, within timeouts.connect: user \"{}\" has {} of the {} "
                 "places of {}, which users share fairly, and may have {}, and {} are free. This "
                 "is said once; SIGUSR1 tells how many wait",
                 what, log::escape(user), places.held_by(user), counts.all, key,
                 std::min(most, counts.all), counts.all - counts.taken);
}

std::string_view name_of(const user_account_ptr& user) {
    return user ? std::string_view(user->name()) : std::string_view();
}

} // namespace

/// One dial, from dial() until it has ended.
///
///     a name:     waiting -- place for a lookup --> looking up -- addresses --+
///                                                                             v
///     an address: waiting -- place for a connect --> connecting <-- place -- waiting
///                                                        |
///                                                        +-- connected, failed --> decided -->
///                                                        ended
///
/// A place for a connect is held while it is connecting. One for a lookup is held until the lookup
/// has ended, though the dial may be decided by then, or cancelled; only connected dials may do
/// without one for the rest of their lookup, as many as there are places for lookups.
class dialer::operation final : public happy_eyeballs, public boost::intrusive::set_base_hook<> {
  public:
    using key = dial_id;
    enum class phase : std::uint8_t { for_lookup, looking_up, for_connect, connecting, decided };

    operation(const dial_services& services, dialer::state& owner, std::uint16_t port,
              std::shared_ptr<const target_policy> policy, handler done, user_account_ptr user)
        : happy_eyeballs(services),
          owner_(&owner),
          policy_(std::move(policy)),
          done_(std::move(done)),
          executor_(services.context.get_executor()),
          user_(std::move(user)),
          port_(port),
          lookup_(*this),
          connect_(*this) {}

    /// Takes the first place, or waits for it.
    void enter();
    /// It has the place that it waited for.
    void on_place();
    /// The same, once its user may be busy.
    void on_place_in_turn();
    void cancel() override;
    /// The dialer is going: gives back what the dial holds there.
    void leave_places();

    [[nodiscard]] bool is_waiting() const {
        return now_ == phase::for_lookup || now_ == phase::for_connect;
    }

    dial_id id = 0;
    share_ptr share_; ///< Null: it begins when there is a place.
    /// What is dialled: the host if it is not empty, else the address.
    std::string host_;
    asio::ip::address address_;
    /// Keeps the operation alive while it is in the table.
    std::shared_ptr<operation> self;
    /// Null once the dialer is gone.
    dialer::state* owner_;

  private:
    struct claim final : shared_places::claim {
        explicit claim(operation& one) : of(one) {}
        void on_place() override;

        operation& of;
    };

    std::error_code admit(const asio::ip::address& address) override;
    bool may_begin() override;
    void on_lookup_ended() override;
    /// What forbids a connection that is there already: both its ends are here.
    std::error_code judge_ends(const asio::ip::tcp::endpoint& local,
                               const asio::ip::tcp::endpoint& peer);
    void before_connect(int descriptor) override {
        set_option(descriptor, IPPROTO_TCP, TCP_NODELAY);
        set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE);
    }
    void on_connected(tcp_socket&& socket, const asio::ip::tcp::endpoint& peer) override;
    void on_failed(std::error_code error) override;
    void on_ended() override;

    void move_to(phase next);
    bool take_lookup();
    bool take_connect();
    /// Gives back the place for a connect, and leaves each line.
    void decide();

    phase now_ = phase::decided;
    std::shared_ptr<const target_policy> policy_;
    handler done_;
    executor executor_;
    user_account_ptr user_; ///< Null: nobody's.
    std::uint16_t port_;
    std::string refusal_;
    std::string range_;
    denied_by rule_ = denied_by::deny;
    claim lookup_;
    claim connect_;
    /// Whether the lookup goes on without a place.
    bool lingers_ = false;
    /// How long it has waited for places.
    deadline::clock::duration waited_{};
    deadline::clock::time_point waits_since_{};
};

struct dialer::state {
    state(const dial_services& with, const dial_limits& within, own_addresses known,
          std::shared_ptr<dial_places> shared)
        : services(with),
          limits(within),
          own(std::move(known)),
          places(shared ? std::move(shared)
                        : std::make_shared<dial_places>(within.dials_max, within.lookups_max)) {}
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    struct by_id {
        using type = dial_id;
        const dial_id& operator()(const operation& one) const { return one.id; }
    };
    using table = boost::intrusive::set<operation, boost::intrusive::key_of_value<by_id>>;

    dial_services services;
    dial_limits limits;
    own_addresses own;
    std::shared_ptr<dial_places> places;
    std::shared_ptr<state*> self = std::make_shared<state*>(this); ///< For posted handlers.
    table operations;
    std::size_t waiting = 0;
    /// Lookups that go on without a place.
    std::size_t lingering = 0;
    dial_id last_id = 0;
};

/// Under the lock of the places, and in any thread.
void dialer::operation::claim::on_place() {
    asio::post(of.executor_, [guard = std::weak_ptr<dialer::state*>(of.owner_->self), id = of.id] {
        const auto alive = guard.lock();
        if (!alive) return; // The claim has left.
        const auto found = (*alive)->operations.find(id);
        if (found != (*alive)->operations.end()) found->on_place_in_turn();
    });
}

void dialer::operation::move_to(phase next) {
    if (is_waiting()) {
        --owner_->waiting;
        waited_ += deadline::clock::now() - waits_since_;
    }
    now_ = next;
    if (is_waiting()) {
        ++owner_->waiting;
        waits_since_ = deadline::clock::now();
    }
}

void dialer::operation::enter() {
    if (host_.empty() ? take_connect() : take_lookup()) on_place();
}

void dialer::operation::on_place() {
    const auto kept = shared_from_this();
    if (now_ == phase::for_lookup) {
        move_to(phase::looking_up);
        start(host_, port_);
    } else if (now_ == phase::for_connect) {
        move_to(phase::connecting);
        if (host_.empty())
            start(asio::ip::tcp::endpoint(address_, port_));
        else
            proceed();
    }
}

void dialer::operation::on_place_in_turn() {
    if (!share_) return on_place();
    share_->run([kept = std::static_pointer_cast<operation>(shared_from_this())] {
        if (kept->owner_ != nullptr) kept->on_place();
    });
}

bool dialer::operation::take_lookup() {
    move_to(phase::for_lookup);
    auto& places = owner_->places->names;
    const auto most = user_ ? user_->lookups_max() : places.now().all;
    if (places.take(lookup_, name_of(user_), most)) return true;
    if (places.is_first_wait())
        say_that_some_wait("look-ups of names", "limits.lookups", places, name_of(user_), most);
    return false;
}

bool dialer::operation::take_connect() {
    move_to(phase::for_connect);
    auto& places = owner_->places->connects;
    const auto most = user_ ? user_->dials_max() : places.now().all;
    if (places.take(connect_, name_of(user_), most)) return true;
    if (places.is_first_wait())
        say_that_some_wait("connects to targets", "limits.dials", places, name_of(user_), most);
    return false;
}

bool dialer::operation::may_begin() {
    if (owner_ == nullptr || !take_connect()) return false;
    move_to(phase::connecting);
    return true;
}

void dialer::operation::on_lookup_ended() {
    if (owner_ == nullptr) return;
    owner_->places->names.leave(lookup_);
    if (lingers_) --owner_->lingering;
    lingers_ = false;
}

void dialer::operation::decide() {
    if (owner_ == nullptr) return;
    if (now_ == phase::for_lookup) owner_->places->names.leave(lookup_);
    owner_->places->connects.leave(connect_);
    move_to(phase::decided);
}

void dialer::operation::leave_places() {
    decide();
    on_lookup_ended();
    owner_ = nullptr;
}

void dialer::operation::cancel() {
    // It may end here and now, and with it leave the table that keeps it alive.
    const auto kept = shared_from_this();
    decide();
    happy_eyeballs::cancel();
    done_.reset();
}

std::error_code dialer::operation::admit(const asio::ip::address& address) {
    std::optional<std::string> refusal = policy_->refusal(address, port_, owner_->own);
    if (!refusal) return {};
    if (refusal_.empty()) {
        refusal_ = std::move(*refusal);
        range_ = policy_->range_refused(address, port_, owner_->own);
        rule_ = policy_->rule_refused(address, port_, owner_->own);
    }
    return dial_errc::denied;
}

std::error_code dialer::operation::judge_ends(const asio::ip::tcp::endpoint& local,
                                              const asio::ip::tcp::endpoint& peer) {
    if (local.address() != peer.address()) return {};
    // TCP connects a port to itself where nobody listens.
    if (local.port() == peer.port()) return std::make_error_code(std::errc::connection_refused);
    // An address that ends here is the server's own, whether or not an interface has it.
    own_addresses this_one({peer.address()});
    auto refusal = policy_->refusal(peer.address(), port_, this_one);
    if (!refusal) return {};
    refusal_ = std::move(*refusal);
    range_ = policy_->range_refused(peer.address(), port_, this_one);
    rule_ = policy_->rule_refused(peer.address(), port_, this_one);
    return dial_errc::denied;
}

void dialer::operation::on_connected(tcp_socket&& socket, const asio::ip::tcp::endpoint& peer) {
    decide();
    if (is_looking_up() && owner_->lingering < owner_->places->names.now().all) {
        owner_->places->names.leave(lookup_);
        ++owner_->lingering;
        lingers_ = true;
    }
    const asio::ip::tcp::endpoint local = local_endpoint(socket);
    if (const auto refused = judge_ends(local, peer)) return on_failed(refused);
    std::exchange(done_, {})(dial_result{.error = {},
                                         .reason = {},
                                         .range = {},
                                         .rule = rule_,
                                         .socket = std::move(socket),
                                         .local = local,
                                         .peer = peer});
}

void dialer::operation::on_failed(std::error_code error) {
    if (is_waiting()) error = dial_errc::waited_too_long;
    decide();
    // Most of its time went by in the line: that is not the target's fault.
    if (error == std::errc::timed_out && owner_ != nullptr && waited_ >= owner_->limits.timeout / 2)
        error = dial_errc::waited_too_long;
    if (error == connect_errc::ttl_expired) error = socks5::reply_code::ttl_expired;
    const bool denied = error == dial_errc::denied;
    std::exchange(done_, {})(dial_result{.error = error,
                                         .reason = denied ? std::move(refusal_) : std::string(),
                                         .range = denied ? std::move(range_) : std::string(),
                                         .rule = rule_,
                                         .socket = tcp_socket(executor_),
                                         .local = {},
                                         .peer = {}});
}

void dialer::operation::on_ended() {
    if (owner_ == nullptr) return;
    decide();
    const std::shared_ptr<operation> alive = std::move(self);
    owner_->operations.erase(owner_->operations.iterator_to(*this));
}

dialer::dialer(const dial_services& services, const dial_limits& limits, own_addresses own,
               std::shared_ptr<dial_places> places)
    : state_(std::make_unique<state>(services, limits, std::move(own), std::move(places))) {}

dialer::~dialer() {
    while (!state_->operations.empty()) {
        operation& one = *state_->operations.begin();
        state_->operations.erase(state_->operations.begin());
        // Handlers may own what calls back into this object; by then the dial is gone from it.
        const std::shared_ptr<operation> alive = std::move(one.self);
        one.leave_places();
        one.cancel();
    }
}

dialer::dial_id dialer::dial(const asio::ip::address& address, std::uint16_t port,
                             std::shared_ptr<const target_policy> policy, handler done,
                             user_account_ptr user, share_ptr share) {
    auto one = std::make_shared<operation>(state_->services, *state_, port, std::move(policy),
                                           std::move(done), std::move(user));
    one->share_ = std::move(share);
    one->address_ = address;
    return enter(std::move(one));
}

dialer::dial_id dialer::dial(std::string_view host, std::uint16_t port,
                             std::shared_ptr<const target_policy> policy, handler done,
                             user_account_ptr user, share_ptr share) {
    auto one = std::make_shared<operation>(state_->services, *state_, port, std::move(policy),
                                           std::move(done), std::move(user));
    one->share_ = std::move(share);
    if (const auto address = parse_numeric_host(host)) {
        one->address_ = *address;
    } else {
        one->host_ =
            host.empty() ? "." : host; // "." is no name either, and has an error of its own
    }
    return enter(std::move(one));
}

dialer::dial_id dialer::enter(std::shared_ptr<operation> one) {
    operation& entered = *one;
    entered.id = ++state_->last_id;
    entered.self = std::move(one);
    state_->operations.insert(state_->operations.end(), entered);
    entered.expires_at(deadline::clock::now() + state_->limits.timeout);
    const dial_id id = entered.id;
    entered.enter();
    return id;
}

void dialer::cancel(dial_id id) {
    const auto found = state_->operations.find(id);
    if (found != state_->operations.end()) found->cancel();
}

std::size_t dialer::active() const noexcept { return state_->operations.size() - waiting(); }
std::size_t dialer::waiting() const noexcept { return state_->waiting; }

} // namespace muxsocks::server
