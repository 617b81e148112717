#include "benchmarks/load/association.hpp"
#include "benchmarks/load/bulk_streams.hpp"
#include "benchmarks/load/counters_client.hpp"
#include "benchmarks/load/datagram.hpp"
#include "benchmarks/load/flow.hpp"
#include "benchmarks/load/works.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <poll.h>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

constexpr auto datagram_warm_up = 500ms;
/// What was sent in the window and is not back so long after it is lost.
constexpr auto datagram_grace = 1s;
/// With `--window`: an association from which nothing comes for so long begins anew.
constexpr auto stuck_after = 100ms;
constexpr auto ack_delay = 25ms;
constexpr auto ask_again_after = 500ms;
constexpr auto question_patience = 2s;

std::int64_t nanoseconds(clock::time_point at) { return at.time_since_epoch() / 1ns; }

/// What all associations of a run count together.
struct counts {
    bool recording = false;
    std::uint64_t sent = 0; ///< while recording, and of these:
    std::uint64_t received = 0;
    std::uint64_t doubled = 0;
    std::uint64_t arrived = 0; ///< while recording, whenever they were sent
    std::vector<float> times;  ///< to and fro in seconds
};

/// One association whose datagrams are echoed: so many a second, or as many as are under way at
/// most.
class echo_association final : public event_handler {
  public:
    echo_association(event_loop& loop, const options& what, std::uint32_t of, counts& all,
                     outcome& ends)
        : what_(what), of_(of), all_(all), ends_(ends), association_(what.way) {
        loop.watch(association_.socket(), EPOLLIN, *this);
    }

    void begin(clock::time_point now) { begun_ = heard_ = now; }
    /// From now on nothing more is sent.
    void stop() { stopped_ = true; }

    /// Sends what is due.
    void turn(clock::time_point now) {
        if (stopped_) return;
        if (what_.rate == 0) {
            if (now - heard_ > stuck_after) answered_ = next_;
            fill_window(now);
            return;
        }
        const auto due = static_cast<std::uint64_t>(seconds_between(begun_, now) * what_.rate) + 1;
        while (next_ < due)
            send_one(now);
        batch_.flush(association_.socket());
    }

    void on_ready(std::uint32_t /*events*/) override {
        while (const auto count = received_.receive(association_.socket())) {
            const auto now = clock::now();
            for (std::size_t i = 0; i < count; ++i)
                take(association_.payload(received_.bytes(i)), now);
            heard_ = now;
            if (what_.rate == 0 && !stopped_) fill_window(now);
            if (count < datagrams_at_once) return;
        }
    }

  private:
    void fill_window(clock::time_point now) {
        while (next_ - answered_ < what_.window)
            send_one(now);
        batch_.flush(association_.socket());
    }

    void send_one(clock::time_point now) {
        const auto header = association_.header();
        const auto place = batch_.room().first(header.size() + what_.size);
        std::copy(header.begin(), header.end(), place.begin());
        lay_echo(place.subspan(header.size()),
                 {.of = of_, .number = next_, .sent_ns = nanoseconds(now)});
        batch_.used(place.size());
        if (batch_.full()) batch_.flush(association_.socket());
        if (all_.recording) {
            if (recorded_from_ == none) recorded_from_ = next_;
            ++all_.sent;
        }
        ++next_;
    }

    void take(std::span<const std::uint8_t> bytes, clock::time_point now) {
        datagram_head head;
        if (bytes.size() == what_.size) std::memcpy(&head, bytes.data(), sizeof head);
        if (bytes.size() != what_.size || !is_echo(bytes) || head.of != of_ ||
            head.number >= next_) {
            ++ends_.wrong;
            return;
        }
        // Behind a later one nothing is waited for: what comes late is rare, and counts as well.
        answered_ = std::max(answered_, head.number + 1);
        if (all_.recording) ++all_.arrived;
        if (head.number < recorded_from_) return;
        const auto index = head.number - recorded_from_;
        if (index >= back_.size()) back_.resize(index + index / 2 + 1024);
        if (back_[index]) {
            ++all_.doubled;
            return;
        }
        back_[index] = true;
        ++all_.received;
        all_.times.push_back(static_cast<float>(nanoseconds(now) - head.sent_ns) * 1e-9F);
    }

    static constexpr std::uint64_t none = std::uint64_t(-1);

    const options& what_;
    std::uint32_t of_;
    counts& all_;
    outcome& ends_;
    association association_;
    datagram_batch batch_;
    datagram_batch received_;
    clock::time_point begun_;
    clock::time_point heard_;
    std::uint64_t next_ = 0;
    std::uint64_t answered_ = 0; ///< behind the last number that has come back
    std::uint64_t recorded_from_ = none;
    std::vector<bool> back_; ///< by number, from recorded_from_
    bool stopped_ = false;
};

/// A download by datagrams beside all that.
class flow_association final : public event_handler {
  public:
    flow_association(event_loop& loop, const options& what)
        : association_(what.way), receiver_(1, what.flow) {
        loop.watch(association_.socket(), EPOLLIN, *this);
    }

    void begin(clock::time_point now) {
        begun_ = now;
        acknowledge(now);
    }

    void turn(clock::time_point now) {
        if (begun_ == clock::time_point{} || receiver_.complete()) return;
        const bool due = receiver_.owes() && now - acknowledged_ > ack_delay;
        if (due || now - acknowledged_ > ask_again_after) acknowledge(now);
    }

    void on_ready(std::uint32_t /*events*/) override {
        bool due = false;
        const auto count = received_.receive(association_.socket());
        const auto now = clock::now();
        for (std::size_t i = 0; i < count; ++i)
            if (receiver_.take(association_.payload(received_.bytes(i)))) due = true;
        if (receiver_.complete() && ended_ == clock::time_point{}) ended_ = now;
        if (due) acknowledge(now);
    }

    bool complete() const { return receiver_.complete(); }

    void write_to(json& result, clock::time_point now) const {
        const auto seconds = seconds_between(begun_, complete() ? ended_ : now);
        json one;
        one["complete"] = complete();
        one["bytes"] = receiver_.bytes();
        one["seconds"] = seconds;
        one["mb_per_second"] = static_cast<double>(receiver_.bytes()) / 1e6 / seconds;
        one["packets"] = receiver_.packets();
        one["missing"] = receiver_.missing();
        result["flow"] = std::move(one);
    }

  private:
    void acknowledge(clock::time_point now) {
        const auto header = association_.header();
        const auto ack = receiver_.ack();
        const auto place = batch_.room().first(header.size() + sizeof ack);
        std::copy(header.begin(), header.end(), place.begin());
        std::memcpy(place.data() + header.size(), &ack, sizeof ack);
        batch_.used(place.size());
        batch_.flush(association_.socket());
        acknowledged_ = now;
    }

    association association_;
    flow_receiver receiver_;
    datagram_batch batch_;
    datagram_batch received_;
    clock::time_point begun_{};
    clock::time_point acknowledged_{};
    clock::time_point ended_{};
};

enum class phase { warming_up, recording, waiting, over };

/// The datagrams on a thread of their own: they wait for the proxy and the network, not for this
/// program's bulk streams.
class datagram_thread {
  public:
    explicit datagram_thread(const options& what) : what_(what) { all.times.reserve(1 << 20U); }

    void start() {
        thread_ = std::jthread([this] {
            try {
                run();
            } catch (...) {
                error_ = std::current_exception();
            }
            finished_ = true;
        });
    }
    void enter(phase next) { phase_ = next; }
    /// After waiting: whether nothing is under way any more.
    bool finished() const { return finished_; }
    void join() {
        thread_.join();
        if (error_) std::rethrow_exception(error_);
    }

    counts all; ///< valid after join(), as is all that follows
    outcome ends;
    json flow = json::object();

  private:
    void run() {
        event_loop loop;
        std::vector<std::unique_ptr<echo_association>> echoes;
        for (std::size_t i = 0; i < what_.streams; ++i)
            echoes.push_back(std::make_unique<echo_association>(
                loop, what_, static_cast<std::uint32_t>(i), all, ends));
        std::optional<flow_association> download;
        if (what_.flow != 0) download.emplace(loop, what_);
        for (auto& one : echoes)
            one->begin(clock::now());
        auto waiting_until = clock::time_point::max();
        while (phase_ != phase::over) {
            const auto now = clock::now();
            if (phase_ == phase::recording && !all.recording) {
                all.recording = true;
                if (download) download->begin(now);
            }
            if (phase_ == phase::waiting && waiting_until == clock::time_point::max()) {
                waiting_until = now + datagram_grace;
                all.recording = false;
                for (auto& one : echoes)
                    one->stop();
            }
            if (now > waiting_until && (!download || download->complete())) break;
            for (auto& one : echoes)
                one->turn(now);
            if (download) download->turn(now);
            loop.turn(1ms);
        }
        if (download) download->write_to(flow, clock::now());
    }

    const options& what_;
    std::atomic<phase> phase_{phase::warming_up};
    std::atomic<bool> finished_{false};
    std::exception_ptr error_;
    std::jthread thread_;
};

/// A question and its answer by an association that is opened for it, one after another, as a
/// resolver has them.
class question_thread {
  public:
    explicit question_thread(const options& what) : what_(what) {}

    void start() {
        thread_ = std::jthread([this](const std::stop_token& stop) {
            try {
                while (!stop.stop_requested())
                    ask();
            } catch (...) {
                error_ = std::current_exception();
            }
        });
    }
    void join() {
        thread_.request_stop();
        thread_.join();
        if (error_) std::rethrow_exception(error_);
    }

    std::vector<float> times; ///< from before UDP ASSOCIATE, in seconds; valid after join()
    std::uint64_t unanswered = 0;

  private:
    void ask() {
        const auto begun = clock::now();
        const association way(what_.way);
        datagram_batch batch;
        const auto place = batch.room().first(way.header().size() + what_.size);
        std::copy(way.header().begin(), way.header().end(), place.begin());
        lay_echo(place.subspan(way.header().size()), {.number = 1, .sent_ns = nanoseconds(begun)});
        batch.used(place.size());
        batch.flush(way.socket());
        pollfd waiting{.fd = way.socket(), .events = POLLIN, .revents = 0};
        if (poll(&waiting, 1, question_patience / 1ms) > 0 && batch.receive(way.socket()) > 0 &&
            is_echo(way.payload(batch.bytes(0))))
            times.push_back(static_cast<float>(seconds_between(begun, clock::now())));
        else
            ++unanswered;
        std::this_thread::sleep_until(begun + what_.interval);
    }

    const options& what_;
    std::exception_ptr error_;
    std::jthread thread_;
};

} // namespace

json measure_datagrams(const options& what, outcome& ends) {
    event_loop loop;
    counters_client counters(what.control, what.way.settings);
    const target_counters before = counters.read();
    bulk_streams bulk(loop, what.way, what.towards, what.beside_bulk, 0);
    usage_meter meter(what);
    datagram_thread datagrams(what);
    question_thread questions(what);
    json result;

    if (bulk.open(clock::now() + what.time_limit)) {
        const auto run_until = [&](clock::time_point deadline) {
            if (what.beside_bulk == 0) std::this_thread::sleep_until(deadline);
            bulk.run_until(deadline);
        };
        bulk.begin();
        datagrams.start();
        run_until(clock::now() + std::max<std::chrono::milliseconds>(what.from, datagram_warm_up));
        if (what.questions) questions.start();
        meter.begin();
        const std::uint64_t bulk_before = bulk.bytes();
        datagrams.enter(phase::recording);
        run_until(clock::now() + what.duration);
        datagrams.enter(phase::waiting);
        const auto bulk_bytes = static_cast<double>(bulk.bytes() - bulk_before);
        meter.end();
        if (what.questions) questions.join();
        // The bulk goes on meanwhile, as for keystrokes.
        const auto limit = clock::now() + what.time_limit;
        while (!datagrams.finished() && clock::now() < limit)
            run_until(clock::now() + 20ms);
        datagrams.enter(phase::over);
        datagrams.join();
        bulk.stop();
        bulk.run_until_ended(clock::now() + what.time_limit);

        ends = datagrams.ends;
        auto& all = datagrams.all;
        result["sent"] = all.sent;
        result["received"] = all.received;
        result["doubled"] = all.doubled;
        result["lost_share"] =
            all.sent == 0 ? 0.0
                          : 1.0 - static_cast<double>(all.received) / static_cast<double>(all.sent);
        result["datagrams_per_second"] = static_cast<double>(all.arrived) / meter.elapsed_seconds();
        result["datagram"] = percentiles_ms(all.times);
        if (what.questions) {
            result["unanswered"] = questions.unanswered;
            result["question"] = percentiles_ms(questions.times);
        }
        result.update(datagrams.flow);
        result["bulk_mb_per_second"] = bulk_bytes / 1e6 / meter.elapsed_seconds();
        meter.write_to(result);
        result["cpu_seconds_per_1000"] =
            all.arrived > 0 ? meter.cpu_seconds() / static_cast<double>(all.arrived) * 1000 : 0.0;
        if (all.received == 0 && ends.failed == 0) ends.add_failure("not one datagram came back");
    }
    bulk.add_to(ends);
    ends.wrong += counters.read().faults - before.faults;
    return result;
}

} // namespace muxsocks::load
