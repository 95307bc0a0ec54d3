// Whether two trees of files are equal in everything that the copies keep; for tests.
#pragma once

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "migrate/file_node.h"
#include "migrate/overlay_notes.h"

namespace martlet::migrate {

class TreeComparison {
 public:
  TreeComparison(std::string original, std::string copy)
      : original_(std::move(original)), copy_(std::move(copy)) {}

  // One line for each difference: names, types, content, mode, owner, mtime, devices, link targets,
  // extended attributes, which names are links to one file, and that no hole was filled. Whiteouts
  // are equal if both are there: the kernel links them to each other as it likes.
  std::vector<std::string> run() {
    auto originals = scan(original_);
    auto copies = scan(copy_);
    for (const auto& [path, file] : originals)
      if (!copies.contains(path)) differs(path, "is missing");
    for (const auto& [path, file] : copies) {
      auto found = originals.find(path);
      if (found == originals.end())
        differs(path, "should not be there");
      else
        compare(path, found->second, file);
    }
    if (links_of(originals) != links_of(copies)) differs("", "other names are links to one file");
    return differences_;
  }

 private:
  using Files = std::map<std::string, struct stat>;

  static Files scan(const std::string& root) {
    Files files;
    auto add = [&](const std::filesystem::path& path) {
      struct stat status;
      if (::lstat(path.c_str(), &status) == 0)
        files.emplace(path.lexically_relative(root).string(), status);
    };
    add(root);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) add(entry.path());
    return files;
  }

  static std::set<std::set<std::string>> links_of(const Files& files) {
    std::map<ino_t, std::set<std::string>> names;
    for (const auto& [path, status] : files)
      if (!S_ISDIR(status.st_mode) && !is_whiteout(status)) names[status.st_ino].insert(path);
    std::set<std::set<std::string>> groups;
    for (auto& [inode, group] : names)
      if (group.size() > 1) groups.insert(std::move(group));
    return groups;
  }

  // An overlay marks a directory that hides nothing as opaque whenever it likes, also before a
  // rename that then fails. What the mark means shows where the copy is mounted.
  static std::map<std::string, std::string> compared_xattrs_of(const std::string& path) {
    auto attributes = xattrs_of(path);
    attributes.erase("trusted.overlay.opaque");
    return attributes;
  }

  // Without what is a note of the original's overlay. The copy was never part of one.
  static std::map<std::string, std::string> kept_xattrs_of(const std::string& path) {
    auto attributes = compared_xattrs_of(path);
    std::erase_if(attributes, [](const auto& entry) { return is_overlay_note(entry.first); });
    return attributes;
  }

  // With the sizes of their values.
  static std::string names_in(const std::map<std::string, std::string>& attributes) {
    std::string names;
    for (const auto& [name, value] : attributes) names += fmt::format("{}:{} ", name, value.size());
    return names;
  }

  static std::map<std::string, std::string> xattrs_of(const std::string& path) {
    std::string names(65536, '\0');
    ssize_t length = ::llistxattr(path.c_str(), names.data(), names.size());
    std::map<std::string, std::string> attributes;
    for (ssize_t at = 0; at < length;) {
      std::string name = names.c_str() + at;
      at += static_cast<ssize_t>(name.size()) + 1;
      std::string value(65536, '\0');
      ssize_t bytes = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
      value.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
      attributes.emplace(std::move(name), std::move(value));
    }
    return attributes;
  }

  static std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  void compare(const std::string& path, const struct stat& a, const struct stat& b) {
    std::string one = original_ + "/" + path;
    std::string two = copy_ + "/" + path;
    if ((a.st_mode & S_IFMT) != (b.st_mode & S_IFMT)) return differs(path, "has another type");
    if (a.st_rdev != b.st_rdev) return differs(path, "is another device");
    if (is_whiteout(a)) return;
    if (a.st_mode != b.st_mode)
      differs(path, fmt::format("has mode {:o}, not {:o}", b.st_mode, a.st_mode));
    if (a.st_uid != b.st_uid || a.st_gid != b.st_gid) differs(path, "has another owner");
    if (a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec)
      differs(path, "has another mtime");
    if (auto kept = kept_xattrs_of(one), found = compared_xattrs_of(two); kept != found)
      differs(path, fmt::format("has other extended attributes: {}, not {}", names_in(found),
                                names_in(kept)));
    if (S_ISLNK(a.st_mode) &&
        std::filesystem::read_symlink(one) != std::filesystem::read_symlink(two))
      differs(path, "leads somewhere else");
    if (!S_ISREG(a.st_mode)) return;
    if (a.st_size != b.st_size)
      differs(path, fmt::format("is {} bytes long, not {}", b.st_size, a.st_size));
    else if (content_of(one) != content_of(two))
      differs(path, "has other content");
    constexpr blkcnt_t kSlack = 64;  // blocks of the file system's own, and holes within a page
    if (b.st_blocks > a.st_blocks + kSlack)
      differs(path, fmt::format("takes {} blocks, not {}", b.st_blocks, a.st_blocks));
  }

  void differs(const std::string& path, const std::string& how) {
    differences_.push_back("'" + path + "' " + how);
  }

  std::string original_;
  std::string copy_;
  std::vector<std::string> differences_;
};

}  // namespace martlet::migrate
