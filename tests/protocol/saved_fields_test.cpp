#include "protocol/saved_fields.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;

namespace {

enum class colour : std::uint8_t { red = 1, blue = 7 };

struct inner {
    bool yes = false;
    std::string text;

    template <class Fields>
    void each_field(Fields& fields) {
        fields(yes, text);
    }
};

struct outer {
    std::uint16_t number = 0;
    colour what = colour::red;
    inner within;
    std::vector<std::uint8_t> bytes;

    template <class Fields>
    void each_field(Fields& fields) {
        fields(number, what, within, bytes);
    }
};

} // namespace

TEST_CASE("fields that are saved") {
    outer value{0x0102, colour::blue, {true, "text"}, {9, 8}};
    field_saver saved;
    value.each_field(saved);
    const auto& bytes = saved.bytes();
    CHECK(bytes ==
          std::vector<std::uint8_t>{1, 2, 7, 1, 0, 0, 0, 4, 't', 'e', 'x', 't', 0, 0, 0, 2, 9, 8});

    SECTION("come back as they were") {
        outer made;
        field_loader loaded(bytes);
        made.each_field(loaded);
        CHECK(loaded.done());
        CHECK(made.number == 0x0102);
        CHECK(made.what == colour::blue);
        CHECK(made.within.yes);
        CHECK(made.within.text == "text");
        CHECK(made.bytes == value.bytes);
    }
    SECTION("are not whole if they are cut off anywhere, or if more follows") {
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            outer made;
            field_loader loaded(bytes_view(bytes).first(size));
            made.each_field(loaded);
            CHECK_FALSE(loaded.done());
        }
        auto longer = bytes;
        longer.push_back(0);
        outer made;
        field_loader loaded(longer);
        made.each_field(loaded);
        CHECK_FALSE(loaded.done());
    }
}
