// Copying a container's files to another host with rsync, over the migration's own connections.
//
// On the source runs rsync as a client, on the destination as a daemon that serves one connection
// on its standard input and knows the container's trees as its modules, each confined to its
// directory. Their bytes go through a TlsConnection between the agents. Everything that makes an
// overlay's upper layer is kept: whiteouts, trusted.overlay.* attributes, hard links, ACLs, holes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "migrate/cancellation.h"
#include "migrate/host.h"
#include "migrate/protocol.pb.h"
#include "migrate/tls.h"

namespace martlet::migrate {

enum class CopyPass {
  kRunning,  // files change meanwhile: those that do so while they are read are left to the next
             // pass
  kFrozen,   // nothing changes: afterwards both sides are equal
};

// The source's half, for all trees of one container.
class FileSender {
 public:
  using Connect = std::function<Result<std::unique_ptr<TlsConnection>>()>;
  using OnSent = std::function<void(uint64_t bytes)>;

  // `targets` are the destination's trees. A tree that both hosts share is left alone.
  FileSender(std::vector<FileTree> trees, std::vector<protocol::TreeTarget> targets,
             Connect connect);

  // Returns the bytes sent. The first call must be of kRunning; kFrozen then looks only at what
  // changed since, and starts nothing if that is nothing. `processes` may have files mapped.
  Result<uint64_t> copy(CopyPass pass, const std::vector<HostPid>& processes,
                        const OnSent& on_sent = {});

 private:
  Result<uint64_t> copy_tree(const FileTree& tree, CopyPass pass,
                             const std::vector<HostPid>& processes, const OnSent& on_sent);
  Result<uint64_t> run_rsync(const FileTree& tree, CopyPass pass,
                             const std::vector<std::string>* only, const OnSent& on_sent);
  const protocol::TreeTarget* target_of(const FileTree& tree) const;

  std::vector<FileTree> trees_;
  std::vector<protocol::TreeTarget> targets_;
  Connect connect_;
  Nanoseconds first_copy_began_{};
};

// The destination's half: serves one run of rsync on the connection and returns when it ended.
Result<void> receive_files(TlsConnection& connection, const std::vector<FileTree>& trees);

// How the destination describes a tree to the source.
protocol::TreeTarget describe_target(const FileTree& tree);

}  // namespace martlet::migrate
