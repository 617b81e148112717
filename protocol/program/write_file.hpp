#pragma once

/// \file
/// Writing files that hold secrets: for their owner alone from the first moment, whole or not at
/// all, and several of them all or none.

#include <filesystem>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace muxsocks {

/// Files that are written beside their places first and then moved there, so that a reader sees the
/// old texts or the new ones. What is not committed is taken away again, and the folders that were
/// made for it. Everything throws std::runtime_error with a sentence that names file and cause.
class new_files {
  public:
    new_files() = default;
    ~new_files();
    new_files(const new_files&) = delete;
    new_files& operator=(const new_files&) = delete;

    /// Makes the folder, and those above it that are missing.
    void make_folder(const std::filesystem::path& folder);
    /// Mode 0600; 0640 for the group if there is one. An older file's mode counts for nothing.
    void add(const std::filesystem::path& path, const std::string& text,
             std::optional<::gid_t> group = {});
    /// Moves all of them, in the order in which they were added, over what is there.
    void commit();

  private:
    struct file {
        std::filesystem::path path;
        bool is_new;
    };
    std::vector<std::filesystem::path> folders_;
    std::vector<file> files_;
};

/// One such file. With `replace` false an existing file is refused, and `elsewhere` named as the
/// option that names another place.
void write_secret_file(const std::filesystem::path& path, const std::string& text, bool replace,
                       const char* elsewhere);

/// Puts a new text in the place of a file that is there, and keeps its owner and mode, which
/// somebody may have chosen for who reads it.
void rewrite_file(const std::filesystem::path& path, const std::string& text);

/// Puts the text in the place of what is there, if anything, so that after a crash of whatever kind
/// the one or the other is there, whole: 0600, and brought to the disk before it is moved. In
/// steps, each of which returns errno, or 0; a text that was not moved is removed with this object,
/// and what was there stays. The folder must be there.
class replacement {
  public:
    explicit replacement(const std::filesystem::path& path) : path_(path) {}
    ~replacement();
    replacement(const replacement&) = delete;
    replacement& operator=(const replacement&) = delete;

    /// Beside the place, under a name that nobody else has, in whichever process or container.
    [[nodiscard]] int write(const std::string& text);
    [[nodiscard]] int sync();
    [[nodiscard]] int move();
    /// Behind move(), so that the name is on the disk, too; it waits.
    void sync_folder();

    /// Removes what crashes have left beside the place. A process that is about to move its text
    /// there now cannot, and has to write it anew.
    static void remove_stale(const std::filesystem::path& path);

  private:
    std::filesystem::path path_;
    std::string waiting_; ///< The text's name until it is moved; empty if it has none.
    int descriptor_ = -1;
};

/// The group's number; throws std::runtime_error if this machine has no such group.
[[nodiscard]] ::gid_t group_id(const std::string& name);

} // namespace muxsocks
