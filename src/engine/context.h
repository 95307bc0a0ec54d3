// What the resources of one capture or one restore share.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/files/file_kind.h"
#include "engine/memory/shared_objects.h"
#include "engine/mounts/mount_view.h"
#include "engine/network/networks.h"
#include "image/files.pb.h"
#include "image/sockets.pb.h"
#include "image/stream.h"
#include "sys/sock_diag.h"
#include "sys/socket_options.h"

namespace martlet::engine {

// A file outside the container's root that the environment supplies at both ends under a name,
// such as the container's log.
struct ExternalFile {
  std::string name;
  std::string path;
};

// What becomes of a Unix connection whose other end is held outside of the group.
enum class OutsidePeers {
  kRefuse,
  kClose,      // it comes out as if the other end had been closed
  kReconnect,  // it connects anew, by the name that it was connected to
};

// Runs `work` on a fresh thread inside a namespace of a process and waits for it. `kind` is the
// name below /proc/PID/ns: "net", "ipc", "uts". When that namespace is the caller's own the
// work runs right here.
Result<void> run_in_namespace(HostPid process, const std::string& kind,
                              const std::function<Result<void>()>& work);

// The first socket of a sort, by which the others of it are told.
struct CapturedModel {
  uint32_t file;  // its File id
  sys::SocketModel options;
};

// Shared state of one capture; lives on the engine's thread while the group is frozen. Other
// threads may use what says so, and anything while they hold alone().
class CaptureContext {
 public:
  CaptureContext(image::Sink& sink, HostPid root, std::vector<ExternalFile> external_files)
      : sink_(sink),
        root_(root),
        mounts_(root),
        external_files_(std::move(external_files)),
        networks_(root) {}

  image::Sink& sink() { return sink_; }
  HostPid root() const { return root_; }  // whose namespaces are the group's
  MountViews& mounts() { return mounts_; }
  const MountViews& mounts() const { return mounts_; }
  const std::vector<ExternalFile>& external_files() const { return external_files_; }
  OutsidePeers outside_peers() const { return outside_peers_; }
  void set_outside_peers(OutsidePeers peers) { outside_peers_ = peers; }

  // Every open file description of the group, filled before the first FileKind::capture.
  std::vector<OpenFile>& files() { return files_; }

  // The description that descriptor `number` of `process` refers to; null if it has none.
  const OpenFile* file_of(HostPid process, int number) const;
  void set_file_of(HostPid process, int number, uint32_t file);

  // Processes and threads of the group, and their PIDs inside it.
  void set_task(HostPid task, NsPid inside) { tasks_.insert_or_assign(task, inside); }
  std::optional<NsPid> task(HostPid task) const;
  bool is_member(NsPid inside) const;

  // Known before the first FileKind::capture; OpenFile names them.
  Networks& networks() { return networks_; }

  // Shared memory objects found in mappings and behind descriptors.
  SharedObjectTable& shared_objects() { return shared_objects_; }

  // What waits in Unix sockets, by File id; read before any file is captured, because descriptors
  // in flight are files of the group.
  std::map<uint32_t, google::protobuf::RepeatedPtrField<image::UnixMessage>>& unix_queues() {
    return unix_queues_;
  }
  // What waits in Unix listeners to be accepted, by File id; read at the same time.
  std::map<uint32_t, google::protobuf::RepeatedPtrField<image::UnixSocket>>& unix_backlogs() {
    return unix_backlogs_;
  }

  // The model of sockets of a type that are connected, or not; and whether this call has made it.
  // Any thread.
  std::pair<const CapturedModel&, bool> socket_model(std::pair<sys::SocketType, bool> sort,
                                                     const std::function<CapturedModel()>& make);

  // What /proc tells of one of the group's networks under a name such as "net/igmp", read once.
  Result<const std::string*> network_table(uint32_t network, const std::string& name);

  // The packet sockets of each of its networks, by inode, as they were when the first was asked
  // for.
  std::map<uint32_t, std::map<uint32_t, sys::PacketSocketInfo>>& packet_sockets() {
    return packet_sockets_;
  }

  // A filter for sockets that nothing shall reach any more. Any thread.
  const sys::DropEverything& drop_filter();

  // Keeps a descriptor open until the capture is over.
  void keep(Fd fd) { kept_.push_back(std::move(fd)); }

  // A descriptor that later captures use too, under a key of the kind's choice, such as a netlink
  // socket of the group's network namespace; -1 if there is none yet.
  void stash(const std::string& key, Fd fd) { stash_.insert_or_assign(key, std::move(fd)); }
  int stashed(const std::string& key) const;

  // From now on what is not supported is noted and passed over: for a check, which is to name all
  // of it.
  void collect_refusals() { refusals_.emplace(); }
  std::vector<Error>& refusals() { return *refusals_; }
  // The outcome of capturing one object, or success if its refusal is noted. Any thread.
  Result<void> judge(Result<void> outcome);
  // Runs `step`, and adds the link to what it fails with or notes.
  Result<void> judge_in(const std::string& link, const std::function<Result<void>()>& step);

  // Registers what must be put back if the group goes on running here; run in reverse order. Any
  // thread.
  void on_thaw(std::function<void()> undo);
  void run_undo();

  // No other thread has this at the same time.
  std::unique_lock<std::recursive_mutex> alone() { return std::unique_lock(mutex_); }

 private:
  image::Sink& sink_;
  HostPid root_;
  MountViews mounts_;
  std::vector<ExternalFile> external_files_;
  OutsidePeers outside_peers_ = OutsidePeers::kRefuse;
  Networks networks_;
  std::vector<OpenFile> files_;
  std::map<std::pair<HostPid, int>, uint32_t> file_of_;
  std::map<HostPid, NsPid> tasks_;
  SharedObjectTable shared_objects_;
  std::map<uint32_t, google::protobuf::RepeatedPtrField<image::UnixMessage>> unix_queues_;
  std::vector<Fd> kept_;
  std::map<std::string, Fd> stash_;
  std::map<std::pair<sys::SocketType, bool>, CapturedModel> socket_models_;
  std::map<std::pair<uint32_t, std::string>, std::string> network_tables_;
  std::map<uint32_t, std::map<uint32_t, sys::PacketSocketInfo>> packet_sockets_;
  std::optional<sys::DropEverything> drop_filter_;
  std::recursive_mutex mutex_;  // recursive: under alone(), judge() and on_thaw() may be called
  std::vector<std::function<void()>> undo_;
  std::optional<std::vector<Error>> refusals_;
  std::map<uint32_t, google::protobuf::RepeatedPtrField<image::UnixSocket>> unix_backlogs_;
};

// Shared state of one restore.
class ApplyContext {
 public:
  ApplyContext(HostPid root, std::vector<ExternalFile> external_files)
      : root_(root), mounts_(root), external_files_(std::move(external_files)), networks_(root) {}

  // A process inside the namespaces that the group is restored into.
  HostPid root() const { return root_; }
  // The mount namespaces that the image has, as far as they are made.
  MountViews& mounts() { return mounts_; }
  const MountViews& mounts() const { return mounts_; }
  const std::vector<ExternalFile>& external_files() const { return external_files_; }

  // Opens `path` as the group sees it: below the root of its mount namespace, with every symbolic
  // link resolved inside that root.
  Result<Fd> open_in_root(const std::string& path, int flags, mode_t mode = 0) const;

  // Descriptors kept for a later create() under a key of the kind's choice.
  void stash(const std::string& key, Fd fd) { stash_.insert_or_assign(key, std::move(fd)); }
  std::optional<Fd> take_stashed(const std::string& key);
  void close_stashed() { stash_.clear(); }

  // The description of a File record that was already created, or -1.
  int description(uint32_t file) const;
  void set_description(uint32_t file, Fd fd) {
    descriptions_.insert_or_assign(file, std::move(fd));
  }

  // Processes and threads that were made, by their PIDs inside the group.
  void set_task(NsPid inside, HostPid task) { tasks_.insert_or_assign(inside, task); }
  std::optional<HostPid> task(NsPid inside) const;

  // Made before the first file is; File::network names them.
  Networks& networks() { return networks_; }
  const Networks& networks() const { return networks_; }

  SharedObjects& shared_objects() { return shared_objects_; }

  // All File records of the image, by id.
  std::map<uint32_t, image::File>& files() { return files_; }

 private:
  HostPid root_;
  MountViews mounts_;
  std::vector<ExternalFile> external_files_;
  Networks networks_;
  std::map<std::string, Fd> stash_;
  std::map<uint32_t, Fd> descriptions_;
  std::map<NsPid, HostPid> tasks_;
  std::map<uint32_t, image::File> files_;
  SharedObjects shared_objects_;
};

}  // namespace martlet::engine
