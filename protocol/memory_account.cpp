#include "protocol/memory_account.hpp"

#include <cassert>

namespace muxsocks {

bool memory_account::charge(std::size_t bytes) {
    if (bytes > limit_ || charged_ > limit_ - bytes) return false;
    if (budget_ && charged_ + bytes > reserved_) {
        const auto missing = charged_ + bytes - reserved_;
        const auto slabs = (missing + slab_ - 1) / slab_ * slab_;
        if (budget_->take(slabs))
            reserved_ += slabs;
        else if (budget_->take(missing))
            reserved_ += missing;
        else
            return false;
    }
    charged_ += bytes;
    return true;
}

bool memory_account::charge_or_relieve(std::size_t bytes) {
    if (charge(bytes)) return true;
    const bool own_bound = bytes > limit_ || charged_ > limit_ - bytes;
    if (own_bound || !budget_ || !budget_->relieve(bytes)) return false;
    charge_anyway(bytes);
    return true;
}

void memory_account::charge_anyway(std::size_t bytes) {
    charged_ += bytes;
    if (!budget_ || charged_ <= reserved_) return;
    budget_->take_anyway(charged_ - reserved_);
    reserved_ = charged_;
}

void memory_account::discharge(std::size_t bytes) {
    assert(bytes <= charged_);
    charged_ -= bytes;
    if (!budget_) return;
    const auto surplus = reserved_ - charged_;
    if (charged_ != 0 && surplus < 3 * slab_) return;
    const auto kept = charged_ == 0 ? 0 : slab_;
    budget_->give(surplus - kept);
    reserved_ -= surplus - kept;
}

void memory_account::move_to(std::shared_ptr<memory_budget> to) {
    if (!budget_) reserved_ = charged_;
    to->take_anyway(reserved_);
    if (budget_) budget_->give(reserved_);
    budget_ = to.get();
    kept_ = std::move(to);
}

} // namespace muxsocks
