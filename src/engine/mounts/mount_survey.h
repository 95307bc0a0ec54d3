// How the mounts of one namespace differ from those that it began with.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "base/result.h"
#include "engine/context.h"
#include "engine/mounts/mount_table.h"
#include "engine/mounts/mount_view.h"
#include "image/mounts.pb.h"

namespace martlet::engine {

// The peer groups that mounts of a container are in.
class PeerGroups {
 public:
  // Groups of the mounts that the container was given have peers outside of it.
  explicit PeerGroups(const std::vector<Mount>& declared);
  // The mounts of one namespace; they must live on where they are.
  void add(const std::vector<Mount>& mounts);

  bool is_outer(uint32_t group) const { return outer_.contains(group); }
  // Of the mounts of a group of the container's own the one that shows most; null: there is none.
  const Mount* top(uint32_t group) const;

 private:
  std::set<uint32_t> outer_;
  std::map<uint32_t, const Mount*> tops_;
};

struct SurveyedNamespace {
  const MountView& view;
  const std::vector<Mount>& first;  // those that it began with, as they are found in `now`
  const std::vector<Mount>& now;
  // It is a copy of this one. `first` is parallel to the mounts that are there now. Null: it is the
  // root's, which began with what is declared.
  const MountView* source = nullptr;
  const std::vector<Mount>* of_source = nullptr;
  std::set<dev_t> foreign;  // file systems that something else holds: the host, other namespaces
  std::map<ino_t, int32_t> pid_namespaces{};  // each with a process that lives in both
};

// Whether the root file system of the beginning is that of now.
bool shows_root(const std::vector<Mount>& first, const std::vector<Mount>& now);

// Judges each mount that cannot be made again.
Result<image::Mounts> survey_mounts(CaptureContext& context, const SurveyedNamespace& surveyed,
                                    const PeerGroups& groups);

}  // namespace martlet::engine
