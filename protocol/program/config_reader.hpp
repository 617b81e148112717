#pragma once

/// \file
/// Reads a configuration by a schema that is a function: it binds each key to a variable, field by
/// field, and says its kind, its bounds and what it means.
///
///     void bind(config_section& section, keepalive_settings& keepalive) {
///         section.field("interval", keepalive.interval, kinds::duration(1s, 1h), "Silence
///         after...");
///     }
///
/// The same function serves to read (values found replace what the variables hold; the variables'
/// initializers are the defaults), to refuse (wrong values and unknown keys, by their path, the
/// nearest known key suggested), and to describe (the list of all keys with their defaults, from
/// which docs/CONFIGURATION.md is checked). So none of these can drift from the others.

#include "protocol/program/config_error.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/value_kinds.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muxsocks {

/// One key, as the documentation shows it.
struct key_info {
    /// "tls.pin_sha256", "users[].name".
    std::string path;
    std::string type;
    /// As JSON, or in words; "required" if there is none.
    std::string default_text;
    std::string help;
};

class config_section;
using bind_function = std::function<void(config_section&)>;

/// Reads `text` into the variables that `bind` binds. `warnings` receives sentences for the log.
/// Throws config_error at the first fault; the variables are then partly written.
void read_config(const std::string& text, const config_origin& origin,
                 std::vector<std::string>& warnings, const bind_function& bind);

/// All keys that `bind` knows, in its order. The variables keep their defaults.
[[nodiscard]] std::vector<key_info> describe_config(const bind_function& bind);

struct field_options {
    /// Whether the key must be there. Only for fields without a useful default.
    bool required = false;
    /// Replaces the default in the documentation where it depends on the machine or needs words.
    std::string_view default_text{};
    /// Another name of the key, which is understood but neither documented nor suggested.
    std::string_view alias{};
    /// A name that the key had, which is understood with a notice.
    std::string_view former{};
};

/// One JSON object on the way into variables. Only borrowed by bind functions, never kept.
class config_section {
  public:
    /// A single value.
    template <class T>
    void field(std::string_view name, T& value, const value_kind<T>& kind, std::string_view help,
               field_options options = {}) {
        describe(name, kind.type, help, options, [&] { return kind.write(value); });
        const auto used = name_in_use(name, options);
        if (const json* found = find(used, options.required)) {
            value = read_one(*found, kind, path_of(used));
        }
    }

    /// A list of values; replaces the default list when it is there.
    template <class T>
    void list(std::string_view name, std::vector<T>& values, const value_kind<T>& kind,
              std::string_view help, field_options options = {}) {
        describe(name, "list of: " + kind.type, help, options,
                 [&] { return write_list(values, kind); });
        const json* found = find(name, options.required);
        if (found == nullptr) return;
        values.clear();
        for_each_element(*found, path_of(name), [&](const json& element, const std::string& path) {
            values.push_back(read_one(element, kind, path));
        });
    }

    /// A list of values, or one value for a list of one.
    template <class T>
    void one_or_list(std::string_view name, std::vector<T>& values, const value_kind<T>& kind,
                     std::string_view help, field_options options = {}) {
        if (is_single(name)) {
            T value{};
            field(name, value, kind, help, options);
            values.assign(1, std::move(value));
            return;
        }
        list(name, values, kind, help, options);
        amend_type(kind.type + ", or a list");
    }

    /// An object with keys of its own. Without it they keep their defaults.
    void section(std::string_view name, const bind_function& bind);

    /// An object that may be absent as a whole. In the documentation it is one key: `type` says
    /// where its own keys are found.
    template <class T, class Bind>
    void optional_section(std::string_view name, std::optional<T>& value, Bind bind,
                          std::string_view type, std::string_view help, field_options options) {
        describe(name, type, help, options, [] { return std::string(); });
        if (find(name, false) == nullptr) return;
        section(name, [&](config_section& inner) { bind(inner, value.emplace()); });
    }

    /// A list of objects, each bound by bind(config_section&, T&).
    template <class T, class Bind>
    void sections(std::string_view name, std::vector<T>& values, Bind bind, std::string_view help) {
        describe(name, "list of objects", help, {}, [] { return std::string("[]"); });
        describe_element(name, [&](config_section& inner) {
            T example{};
            bind(inner, example);
        });
        const json* found = find(name, false);
        if (found == nullptr) return;
        values.clear();
        for_each_element(*found, path_of(name), [&](const json& element, const std::string& path) {
            T value{};
            read_element(element, path, [&](config_section& inner) { bind(inner, value); });
            values.push_back(std::move(value));
        });
    }

    /// A path; a relative one is completed with the configuration file's folder. The file is not
    /// touched.
    void path(std::string_view name, std::string& value, std::string_view help);

    /// A path of a file that must be readable. `holds_secret`: others being able to read it is
    /// worth a warning.
    void readable_file(std::string_view name, std::string& value, std::string_view help,
                       bool holds_secret = false, field_options options = {});

    /// A secret: `name` with the text itself or "${VARIABLE}", or `name`_file with a file that
    /// holds it. Nothing if neither is there; both at once are refused.
    void secret(std::string_view name, std::optional<std::string>& value, std::string_view help);

    /// What a key was called before: understood with a notice that names `now`, its path of today,
    /// but neither documented nor suggested. Nothing if it is not there.
    template <class T>
    std::optional<T> former(std::string_view name, const value_kind<T>& kind,
                            std::string_view now) {
        if (!has(name)) return std::nullopt;
        warn_of_former(name, now);
        return read_one(*find(name, false), kind, path_of(name));
    }

    /// Whether the key is there. Always false while the schema is being described.
    [[nodiscard]] bool has(std::string_view name) const;

    /// Throws config_error about the key `name` of this section (empty: about the section itself);
    /// `sentence` without a dot at its end. Only while reading: see has().
    [[noreturn]] void fail(std::string_view name, const std::string& sentence) const;

    /// Whether values are read, rather than the schema described. Checks across keys need it.
    [[nodiscard]] bool reading() const { return object_ != nullptr; }

  private:
    using json = nlohmann::json;
    struct shared;
    friend void read_config(const std::string&, const config_origin&, std::vector<std::string>&,
                            const bind_function&);
    friend std::vector<key_info> describe_config(const bind_function&);

    config_section(shared& common, const json* object, std::string path);

    /// Binds, then refuses unknown keys, then reports required ones that are missing.
    static void run(config_section& section, const bind_function& bind);

    [[nodiscard]] std::string path_of(std::string_view name) const;
    [[nodiscard]] const json* find(std::string_view name, bool required);
    [[nodiscard]] bool is_single(std::string_view name) const;
    void warn_of_former(std::string_view name, std::string_view now) const;
    /// The alias or the former name where it is there; two at once are refused.
    [[nodiscard]] std::string_view name_in_use(std::string_view name,
                                               const field_options& options) const;
    void describe(std::string_view name, std::string_view type, std::string_view help,
                  const field_options& options, const std::function<std::string()>& write);
    void amend_type(std::string_view type);
    void describe_element(std::string_view name, const bind_function& bind);
    void read_element(const json& element, const std::string& path, const bind_function& bind);
    void for_each_element(
        const json& found, const std::string& path,
        const std::function<void(const json& element, const std::string& path)>& each) const;
    /// `found` null: what was found is not shown.
    [[noreturn]] void throw_wrong(const json* found, const std::string& path,
                                  const std::string& expected, const std::string& hint) const;
    [[nodiscard]] std::string resolve_inline_secret(const std::string& text,
                                                    std::string_view name) const;

    template <class T>
    T read_one(const json& found, const value_kind<T>& kind, const std::string& path) const {
        std::string hint;
        std::optional<T> value = kind.read(found, hint);
        if (!value) throw_wrong(kind.hidden ? nullptr : &found, path, kind.expected, hint);
        return std::move(*value);
    }

    template <class T>
    static std::string write_list(const std::vector<T>& values, const value_kind<T>& kind) {
        std::string text;
        for (const T& value : values) {
            text += (text.empty() ? "" : ", ") + kind.write(value);
        }
        return "[" + text + "]";
    }

    shared& shared_;
    /// Null while describing.
    const json* object_;
    std::string path_;
    std::vector<std::string> known_;
    std::vector<std::string> missing_;
};

} // namespace muxsocks
