// Copying a tree of files with rsync over a connection of the migration: the first copy, and the
// comparison of everything where it is not known what changed.
//
// On the source runs rsync as a client, on the destination as a daemon that serves one connection
// on its standard input and knows the container's trees as its modules, each confined to its
// directory. Their bytes go through a TlsConnection between the agents. Everything that makes an
// overlay's upper layer is kept: whiteouts, attributes (see overlay_notes.h), hard links, ACLs,
// holes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "migrate/host.h"
#include "migrate/protocol.pb.h"
#include "migrate/tls.h"

namespace martlet::migrate {

enum class CopyPass {
  kRunning,  // files change meanwhile: those that do so while they are read are left to a later
             // pass
  kFrozen,   // nothing changes: afterwards both sides are equal
};

using OnSent = std::function<void(uint64_t bytes)>;

// The source's half. With `only` (paths relative to the tree) exactly these files are copied,
// whatever their size and time say. Returns the bytes sent.
Result<uint64_t> send_with_rsync(std::unique_ptr<TlsConnection> connection, const FileTree& tree,
                                 const protocol::TreeTarget& target, CopyPass pass,
                                 const std::vector<std::string>* only, const OnSent& on_sent);

// The destination's half: serves one run of rsync on the connection and returns when it ended.
Result<void> receive_files(TlsConnection& connection, const std::vector<FileTree>& trees);

}  // namespace martlet::migrate
