#pragma once

/// \file
/// What is shown of users beside what their sessions do: their terms, and what they have used.

#include "protocol/program/snapshot.hpp"
#include "server/recipe.hpp"
#include "server/usage_book.hpp"

namespace muxsocks::server {

/// Completes `to.users`.
void add_terms(snapshot& to, const recipe& serving, const usage_book& usage);
/// With accounting: `to.usage`, of users who are gone, too.
void add_usage(snapshot& to, const recipe& serving, const usage_book& usage);

} // namespace muxsocks::server
