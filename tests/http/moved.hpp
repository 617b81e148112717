#pragma once

/// \file
/// What is under way in http/ as another process would go on with it: saved, and loaded again.

#include "protocol/saved_fields.hpp"
#include "tests/catch.hpp"

namespace muxsocks::http {

/// `value` as it goes on there; it is unchanged itself.
template <class Value>
Value moved(Value& value) {
    field_saver saved;
    value.each_field(saved);
    Value made;
    field_loader loaded(saved.bytes());
    made.each_field(loaded);
    REQUIRE(loaded.done());
    return made;
}

} // namespace muxsocks::http
