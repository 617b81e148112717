// Nothing but what is precompiled for the tests: a precompiled header needs a source to belong to.
#include "tests/catch.hpp"
