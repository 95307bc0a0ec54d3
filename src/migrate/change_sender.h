// The source's half of copying what changed: the operations of file_changes.proto over one
// connection, for all trees of a container. One thread uses it.
//
// Of large files only blocks go over that the destination does not have. It is asked once what it
// has; after that the sums of what was sent are remembered, so that while the container is frozen
// only this side reads the file.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "migrate/block_sums.h"
#include "migrate/cancellation.h"
#include "migrate/change_list.h"
#include "migrate/message_channel.h"

namespace martlet::migrate {

class ChangeSender {
 public:
  enum class Source {
    kRunning,  // files change and vanish meanwhile; the next plan has them again
    kFrozen,   // afterwards both sides are equal
  };

  explicit ChangeSender(std::unique_ptr<TlsConnection> connection)
      : channel_(std::move(connection)) {}

  // Makes the copy of the tree what the plan says. Errors: kUnsupported if the destination's copy
  // is not what the plan takes it for.
  Result<void> send(const SourceTree& tree, const ChangePlan& plan, Source source);

  // Returns when the destination has done everything, and reckons with all of it. Returns what it
  // did not find.
  Result<std::vector<std::string>> finish();

  uint64_t bytes_sent() { return channel_.connection().bytes_sent(); }

 private:
  // What the destination has of a file's content.
  struct KnownContent {
    uint32_t block_bytes = 0;
    uint64_t size = 0;
    std::vector<BlockSum> sums;
  };
  using FileKey = std::pair<std::string, ino_t>;

  Result<std::vector<std::string>> send_once(const SourceTree& tree, const ChangePlan& plan);
  Result<void> send_file(const SourceTree& tree, const std::string& path, const ListedFile& file);
  Result<void> send_content(const FileKey& key, const std::string& path, const Fd& file,
                            uint64_t size, bool anew);
  std::optional<KnownContent> take_known(const FileKey& key, uint64_t size);
  Result<std::vector<BlockSum>> ask_content(uint32_t block_bytes);
  Result<void> put(protocol::FileChange::Put put, const std::string& path, const Fd& file);
  Result<void> queue(protocol::FileChange change);
  Result<void> queue_data(uint64_t offset, std::span<const std::byte> bytes);
  Result<void> flush();

  MessageChannel channel_;
  protocol::Message batch_;
  size_t batch_bytes_ = 0;
  std::map<FileKey, KnownContent> known_;
  size_t known_blocks_ = 0;
};

}  // namespace martlet::migrate
