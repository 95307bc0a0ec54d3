// Files in the tmpfs mounts of a running group, sent ahead of its capture.
//
// Those of some size, in mounts that the environment makes: their contents are put under numbers,
// and the entries of the capture name these. What has changed is found by comparing, as of shared
// memory (sent_content.h), for a write to a mapped file leaves no trace in its times. So whatever
// happens to files meanwhile, a number is only what the other side has to begin with.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/memory/sent_content.h"
#include "engine/mounts/tmpfs_mounts.h"
#include "image/stream.h"

namespace martlet::engine {

class TmpfsRounds {
 public:
  // `root` is the first process of the group, `first_mounts` as in own_mounts.h.
  TmpfsRounds(HostPid root, const std::string& first_mounts);

  // Puts what has changed since the last time, while the group runs; returns the bytes of pages.
  Result<uint64_t> send(image::Sink& sink);
  // What is to be sent now, and how long it takes to find it.
  SentContent::Outlook outlook() const;

  // For the capture, before its entries: what is not there any more goes, what has become shorter
  // does.
  Result<void> settle(image::Sink& sink, const std::vector<TmpfsMount>& mounts);
  // 0 if the other side has nothing of the file.
  uint32_t number_of(const Mount& mount, const struct stat& status) const;
  // What has changed of a file with a number.
  Result<void> put_changes(image::Sink& sink, uint32_t number, const Fd& file);

 private:
  using Identity = std::pair<dev_t, ino_t>;
  struct Object {
    uint32_t number;
    Mount mount;
    std::string path;    // at the last look
    uint64_t bytes = 0;  // of its pages, on the other side
    SentContent sent;
    bool is_in(const Mount& other) const {
      return other.point == mount.point && other.root == mount.root;
    }
  };
  struct Found {
    Identity identity;
    std::string path;
    uint64_t bytes;
  };

  std::vector<TmpfsMount> mounts_to_send() const;
  static void find_files(const TmpfsMount& mount, std::vector<Found>& files);
  static void find_files(const TmpfsMount& mount, const Fd& directory, const std::string& path,
                         std::vector<Found>& files);
  // Files that are not among those that are there go.
  Result<void> keep(image::Sink& sink, const std::vector<TmpfsMount>& mounts);
  void add_files(const std::vector<TmpfsMount>& mounts);
  Result<uint64_t> send_files(image::Sink& sink, const TmpfsMount& mount);
  Result<uint64_t> send_file(image::Sink& sink, Object& object, const Fd& file, uint64_t& free);
  static Result<uint64_t> put_changes(image::Sink& sink, Object& object, ContentReader& reader);
  static Result<SentContent::Outlook> outlook(const TmpfsMount& mount, const Identity& identity,
                                              const Object& object);
  // Not valid if it is not there any more.
  static Fd open(const TmpfsMount& mount, const Identity& identity, const Object& object);

  HostPid root_;
  std::vector<Mount> first_mounts_;
  std::map<Identity, Object> objects_;
  uint32_t next_number_ = 1;
};

}  // namespace martlet::engine
