#include "protocol/program/config_reader.hpp"

#include "protocol/program/secret.hpp"
#include "protocol/program/values.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>

namespace muxsocks {

/// What all sections of one reading share.
struct config_section::shared {
    const config_origin& origin;
    std::vector<std::string>& warnings;
    std::vector<key_info>& keys;
    /// Whether the text itself holds a secret, so that its file should not be read by everyone.
    bool inline_secret = false;
};

namespace {

using nlohmann::json;

/// Long enough to recognize a value, short enough for a log line.
constexpr std::size_t shown_bytes_max = 80;

std::string describe_value(const json& value) {
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    // ASCII only, so that cutting and printing are safe.
    const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
    if (text.size() <= shown_bytes_max) return text;
    return "a text of " + std::to_string(text.size()) + " bytes";
}

std::string enumerate(const std::vector<std::string>& names) {
    std::string all;
    for (const std::string& name : names) {
        all += (all.empty() ? "\"" : ", \"") + name + "\"";
    }
    return all;
}

} // namespace

void read_config(const std::string& text, const config_origin& origin,
                 std::vector<std::string>& warnings, const bind_function& bind) {
    const json root = parse_config_text(text, origin);
    std::vector<key_info> no_keys;
    config_section::shared common{origin, warnings, no_keys};
    config_section section(common, &root, {});
    config_section::run(section, bind);
    if (!common.inline_secret) return;
    if (auto warning = world_readable_warning(origin.name)) {
        warnings.push_back(std::move(*warning));
    }
}

std::vector<key_info> describe_config(const bind_function& bind) {
    const config_origin nowhere;
    std::vector<std::string> no_warnings;
    std::vector<key_info> keys;
    config_section::shared common{nowhere, no_warnings, keys};
    config_section section(common, nullptr, {});
    config_section::run(section, bind);
    return keys;
}

config_section::config_section(shared& common, const json* object, std::string path)
    : shared_(common), object_(object), path_(std::move(path)) {}

void config_section::run(config_section& section, const bind_function& bind) {
    bind(section);
    if (!section.reading()) return;
    for (const auto& [key, value] : section.object_->items()) {
        const auto& known = section.known_;
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        const auto near = nearest_word(key, known);
        section.fail(key, near ? "unknown key; did you mean \"" + *near + "\"?"
                               : "unknown key; known here are " + enumerate(known));
    }
    if (!section.missing_.empty()) {
        section.fail(section.missing_.front(), "this key is missing");
    }
}

std::string config_section::path_of(std::string_view name) const {
    if (name.empty()) return path_;
    return (path_.empty() ? "" : path_ + ".") + std::string(name);
}

void config_section::fail(std::string_view name, const std::string& sentence) const {
    const std::string path = path_of(name);
    const std::string end = sentence.ends_with('?') ? "" : ".";
    throw config_error(shared_.origin.name + ": " + (path.empty() ? "" : path + ": ") + sentence +
                       end);
}

bool config_section::has(std::string_view name) const {
    return object_ != nullptr && object_->contains(std::string(name));
}

const config_section::json* config_section::find(std::string_view name, bool required) {
    if (object_ == nullptr) return nullptr;
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) known_.emplace_back(name);
    const auto found = object_->find(std::string(name));
    if (found != object_->end()) return &*found;
    if (required) missing_.emplace_back(name);
    return nullptr;
}

std::string_view config_section::name_in_use(std::string_view name,
                                             const field_options& options) const {
    for (const auto other : {options.alias, options.former}) {
        if (other.empty() || !has(other)) continue;
        if (has(name)) fail(other, "this key and \"" + std::string(name) + "\" are the same");
        if (other == options.former) warn_of_former(other, name);
        return other;
    }
    return name;
}

bool config_section::is_single(std::string_view name) const {
    return has(name) && !object_->at(std::string(name)).is_array();
}

void config_section::warn_of_former(std::string_view name, std::string_view now) const {
    shared_.warnings.push_back(shared_.origin.name + ": " + path_of(name) +
                               ": this key is called \"" + std::string(now) + "\" now.");
}

void config_section::describe(std::string_view name, std::string_view type, std::string_view help,
                              const field_options& options,
                              const std::function<std::string()>& write) {
    if (reading()) return;
    std::string default_text(options.default_text);
    if (options.required) default_text = "required";
    if (default_text.empty()) default_text = write();
    shared_.keys.push_back(
        {path_of(name), std::string(type), std::move(default_text), std::string(help)});
}

void config_section::amend_type(std::string_view type) {
    if (!reading()) shared_.keys.back().type = type;
}

void config_section::section(std::string_view name, const bind_function& bind) {
    const json* found = find(name, false);
    if (reading() && found == nullptr) return;
    if (found != nullptr) return read_element(*found, path_of(name), bind);
    config_section inner(shared_, nullptr, path_of(name));
    run(inner, bind);
}

void config_section::describe_element(std::string_view name, const bind_function& bind) {
    if (reading()) return;
    config_section inner(shared_, nullptr, path_of(name) + "[]");
    run(inner, bind);
}

void config_section::read_element(const json& element, const std::string& path,
                                  const bind_function& bind) {
    if (!element.is_object()) throw_wrong(&element, path, "an object in braces", {});
    config_section inner(shared_, &element, path);
    run(inner, bind);
}

void config_section::for_each_element(
    const json& found, const std::string& path,
    const std::function<void(const json& element, const std::string& path)>& each) const {
    if (!found.is_array()) throw_wrong(&found, path, "a list in brackets", {});
    for (std::size_t i = 0; i < found.size(); ++i) {
        each(found[i], path + "[" + std::to_string(i) + "]");
    }
}

void config_section::throw_wrong(const json* found, const std::string& path,
                                 const std::string& expected, const std::string& hint) const {
    const std::string what = found == nullptr ? "something else" : describe_value(*found);
    std::string sentence = "expected " + expected + ", found " + what;
    if (!hint.empty()) sentence += "; " + hint;
    if (!sentence.ends_with('?')) sentence += ".";
    throw config_error(shared_.origin.name + ": " + path + ": " + sentence);
}

void config_section::path(std::string_view name, std::string& value, std::string_view help) {
    field(name, value, kinds::text(0, 4095, "path"), help);
    if (has(name) && !value.empty()) value = complete_path(value, shared_.origin);
}

void config_section::readable_file(std::string_view name, std::string& value, std::string_view help,
                                   bool holds_secret, field_options options) {
    field(name, value, kinds::text(1, 4095, "path"), help, options);
    if (!has(name)) return;
    value = complete_path(value, shared_.origin);
    require_readable(value, shared_.origin.name + ": " + path_of(name));
    if (!holds_secret) return;
    if (auto warning = world_readable_warning(value)) {
        shared_.warnings.push_back(std::move(*warning));
    }
}

std::string config_section::resolve_inline_secret(const std::string& text,
                                                  std::string_view name) const {
    const std::optional<std::string> variable = environment_reference(text);
    if (!variable && text.starts_with("${")) {
        fail(name, "an environment variable is written as \"${NAME}\", with letters, digits and _");
    }
    if (!variable) {
        shared_.inline_secret = true;
        return text;
    }
    const char* value = std::getenv(variable->c_str());
    if (value == nullptr || *value == '\0') {
        fail(name, "the environment variable " + *variable + " is not set");
    }
    return value;
}

void config_section::secret(std::string_view name, std::optional<std::string>& value,
                            std::string_view help) {
    const std::string file_name = std::string(name) + "_file";
    describe(name, "text or \"${VARIABLE}\"", help, {.default_text = "none"}, {});
    const json* found = find(name, false);
    std::string file;
    readable_file(file_name, file, "A file that holds `" + std::string(name) + "`, on one line.",
                  true, {.default_text = "none"});
    if (!reading()) return;
    if (found != nullptr && has(file_name)) {
        fail(name, "this key and \"" + file_name + "\" exclude each other");
    }
    if (!file.empty()) {
        value = read_secret_file(file, shared_.origin.name + ": " + path_of(file_name));
    }
    if (found == nullptr) return;
    const std::string* text = found->get_ptr<const std::string*>();
    // What was found is not shown: it may be the secret in another form.
    if (text == nullptr || text->empty()) {
        fail(name, "expected a text that is not empty, or \"${VARIABLE}\"");
    }
    value = resolve_inline_secret(*text, name);
}

} // namespace muxsocks
