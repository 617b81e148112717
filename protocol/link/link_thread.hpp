#pragma once

/// \file
/// What all links of one thread share: the io_context, deadlines, pools, and the two scratch
/// buffers that make an idle link hold none. Once none of its links has done anything for a while,
/// a thread gives all of that memory back to the system; and what sessions have given back, a
/// mebibyte or more of it, also while links are busy.

#include "protocol/chunk_pool.hpp"
#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/deadlines.hpp"
#include "protocol/link/loop/output_buffer.hpp"
#include "protocol/link/loop/parked_sockets.hpp"
#include "protocol/link/loop/rounds.hpp"
#include "protocol/link/thread_counters.hpp"
#include "protocol/memory_account.hpp"

#include <boost/intrusive/list.hpp>

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace muxsocks {

/// Memory that could be had by resetting one stream. Who looks for it compares: of the user who
/// holds most in all, what is most.
struct stalled_memory {
    std::size_t owner_holds = 0;
    std::size_t bytes = 0; ///< 0: nothing stands still.

    auto operator<=>(const stalled_memory&) const = default;
};

/// A session, for who looks for memory.
class memory_holder : public boost::intrusive::list_base_hook<
                          boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  public:
    /// What is held for the stream that holds most of those that have not moved for 5 seconds.
    virtual stalled_memory most_stalled() const = 0;
    virtual void shed_most_stalled() = 0; ///< Resets that stream.

  protected:
    ~memory_holder() = default;
};

class link_thread {
  public:
    static constexpr std::size_t ciphertext_size = 256 * 1024;
    /// A batch decrypted, behind the incomplete frame of the batch before it.
    static constexpr std::size_t plaintext_size = ciphertext_size + 2 * 65'536 + 16'384;
    /// Memory goes back after once to twice this time without use, or after having been given back.
    static constexpr std::chrono::seconds idle_time{2};

    explicit link_thread(memory_budget& budget) : budget_(budget) {}
    /// Handlers that go with the context may still tell of memory.
    ~link_thread() { closing_ = true; }

    asio::io_context& context() { return context_; }
    deadlines& clock() { return clock_; }
    parked_sockets& parked() { return parked_; }
    chunk_pool& chunks() { return chunks_; }
    memory_budget& budget() { return budget_; }
    thread_counters& counters() { return counters_; }
    /// With what sessions have told (session_driver::tell_counted) that are not over.
    const thread_counters& counted() const { return counters_; }

    /// It leaves when it is destroyed.
    void enlist(memory_holder& one) { holders_.push_back(one); }
    /// Of all holders of this thread.
    stalled_memory most_stalled() const;
    void shed_most_stalled();

    /// A session holds as much more now, or less.
    void on_held(std::ptrdiff_t more) {
        held_ += more;
        held_most_ = std::max(held_most_, held_);
        if (more < 0) on_freed(static_cast<std::size_t>(-more));
    }
    /// Memory went back to the allocator that no session is charged for.
    void on_freed(std::size_t bytes) {
        freed_ += bytes;
        if (freed_ >= bytes_worth_a_search && !closing_ && !idle_check_.is_set())
            idle_check_.expires_after(idle_time);
    }

    /// Good until the handler that asked returns; every link of the thread uses the same.
    bytes_span ciphertext() { return scratch(ciphertext_, ciphertext_size); }
    bytes_span plaintext() { return scratch(plaintext_, plaintext_size); }

    /// A share of the rounds of this thread's event loop, for a user.
    share_ptr make_share() { return new round_share(rounds_); }

    output_buffer take_output() {
        on_use();
        if (outputs_.empty()) return output_buffer(160 * 1024);
        auto taken = std::move(outputs_.back());
        outputs_.pop_back();
        return taken;
    }
    void give_output(output_buffer&& drained) {
        // One that had to grow is not kept.
        if (outputs_.size() < 4 && drained.capacity() <= 640 * 1024)
            outputs_.push_back(std::move(drained));
        else
            on_freed(drained.capacity());
    }

  private:
    bytes_span scratch(std::unique_ptr<std::uint8_t[]>& memory, std::size_t size) {
        on_use();
        if (!memory) memory.reset(new std::uint8_t[size]);
        return {memory.get(), size};
    }

    void on_use() {
        ++uses_;
        if (!idle_check_.is_set()) idle_check_.expires_after(idle_time);
    }
    void check_idle();

    static constexpr std::size_t bytes_worth_a_search = 1024 * 1024;

    memory_budget& budget_;
    thread_counters counters_;
    bool closing_ = false;
    std::ptrdiff_t held_ = 0;         // By all sessions.
    std::ptrdiff_t held_most_ = 0;    // Since the last check.
    std::ptrdiff_t held_highest_ = 0; // At the checks since memory was last given back.
    std::size_t freed_ = 0;           // Since then.
    boost::intrusive::list<memory_holder, boost::intrusive::constant_time_size<false>> holders_;
    // The pools are declared first: what handlers still hold when the context goes comes back here.
    chunk_pool chunks_;
    std::unique_ptr<std::uint8_t[]> ciphertext_;
    std::unique_ptr<std::uint8_t[]> plaintext_;
    std::vector<output_buffer> outputs_;
    asio::io_context context_{1};
    deadlines clock_{context_};
    std::size_t uses_ = 0;      // Since memory was last given back.
    std::size_t uses_seen_ = 0; // At the last check.
    deadline idle_check_{clock_, [this] { check_idle(); }};
    parked_sockets parked_{clock_};
    rounds rounds_{context_};
};

} // namespace muxsocks
