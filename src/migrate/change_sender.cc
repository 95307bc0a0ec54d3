#include "migrate/change_sender.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "migrate/content_diff.h"
#include "migrate/file_node.h"

namespace martlet::migrate {

namespace {

// How often the destination may say that something is missing which the plan took for given.
constexpr int kMaxRounds = 4;
constexpr size_t kBatchBytes = 512u << 10;
constexpr size_t kDataBytes = 256u << 10;  // at most, in one operation
// Smaller files are sent whole: finding out what differs costs more.
constexpr uint64_t kWholeBytes = 128u << 10;
// Of all files together; 16 bytes each.
constexpr size_t kMaxKnownBlocks = 16u << 20;

bool sends_content(const ListedFile& file) {
  return file.treatment == Treatment::kContent || file.treatment == Treatment::kPlaceContent ||
         file.treatment == Treatment::kRenew ||
         static_cast<uint64_t>(file.status->st_size) <= kWholeBytes;
}

// What follows when the destination does not have what it should.
Result<ChangePlan> plan_missing(const SourceTree& tree, const ChangePlan& plan,
                                const std::vector<std::string>& missing) {
  ChangePlan next;
  for (const std::string& path : missing) {
    auto status = status_beneath(tree.root, path);
    if (!status || !S_ISDIR(status->st_mode)) {
      next.add(path, Treatment::kRenew);
      continue;
    }
    next.add(path, Treatment::kRefresh);
    for (const std::string& name : TRY(names_in(tree.root, path))) {
      std::string below = join_path(path, name);
      if (!plan.treatments.contains(below)) next.add(below, Treatment::kRenew);
    }
  }
  return next;
}

}  // namespace

Result<void> ChangeSender::send(const SourceTree& tree, const ChangePlan& plan, Source source) {
  ChangePlan current = plan;
  for (int round = 1; round <= kMaxRounds; ++round) {
    auto missing = TRY(send_once(tree, current));
    if (missing.empty()) return {};
    current = TRY(plan_missing(tree, current, missing));
  }
  if (source == Source::kRunning) return {};
  return fail(Code::kUnsupported, "the destination keeps missing files");
}

Result<std::vector<std::string>> ChangeSender::send_once(const SourceTree& tree,
                                                         const ChangePlan& plan) {
  ChangeList files = TRY(list_changes(tree, plan));
  protocol::FileChange change;
  change.mutable_tree()->set_name(tree.name);
  TRY(queue(std::move(change)));
  std::map<std::string, uint32_t> slots;
  for (const ChangePlan::Move& move : plan.moves) {
    protocol::FileChange stash;
    stash.mutable_stash()->set_path(move.from);
    stash.mutable_stash()->set_slot(static_cast<uint32_t>(slots.size()));
    slots.emplace(move.to, static_cast<uint32_t>(slots.size()));
    TRY(queue(std::move(stash)));
  }
  for (const auto& [path, file] : files) {
    if (auto slot = slots.find(path); slot != slots.end() && plan.is_placed(path)) {
      protocol::FileChange place;
      place.mutable_place()->set_slot(slot->second);
      place.mutable_place()->set_path(path);
      TRY(queue(std::move(place)));
    }
    TRY_IN(send_file(tree, path, file), path);
  }
  for (const auto& [path, file] : files) {
    if (file.link_to.empty()) continue;
    protocol::FileChange link;
    link.mutable_link()->set_path(path);
    link.mutable_link()->set_target(file.link_to);
    TRY(queue(std::move(link)));
  }
  // Everything that was done in a directory changed its times.
  for (const auto& [path, file] : files) {
    if (!file.status || !S_ISDIR(file.status->st_mode)) continue;
    if (auto directory = open_beneath(tree.root, path, O_PATH)) TRY(put({}, path, *directory));
  }
  return finish();
}

Result<std::vector<std::string>> ChangeSender::finish() {
  protocol::FileChange finish;
  finish.mutable_finish();
  TRY(queue(std::move(finish)));
  TRY(flush());
  auto answer = TRY(channel_.expect(protocol::Message::kFilesApplied));
  const auto& missing = answer.files_applied().missing();
  return std::vector<std::string>(missing.begin(), missing.end());
}

Result<void> ChangeSender::send_file(const SourceTree& tree, const std::string& path,
                                     const ListedFile& listed) {
  if (!listed.link_to.empty()) return {};
  bool regular = listed.status && S_ISREG(listed.status->st_mode);
  bool with_content = regular && sends_content(listed);
  // A FIFO or a device is never opened; something else may stand there by now.
  auto file = open_beneath(tree.root, path, O_PATH);
  struct stat status;
  if (!file && file.error().code() == Code::kNotFound) {
    protocol::FileChange remove;
    remove.mutable_remove()->set_path(path);
    return queue(std::move(remove));
  }
  if (!file) return std::unexpected(std::move(file.error()));
  bool anew = listed.treatment == Treatment::kRenew;
  if (with_content) {
    auto content = open_beneath(tree.root, path, O_RDONLY | O_NONBLOCK | O_NOATIME);
    if (content && ::fstat(content->get(), &status) == 0 && S_ISREG(status.st_mode))
      return send_content({tree.name, status.st_ino}, path, *content,
                          static_cast<uint64_t>(status.st_size), anew);
  }
  protocol::FileChange::Put operation;
  operation.set_anew(anew);
  return put(std::move(operation), path, *file);
}

Result<void> ChangeSender::put(protocol::FileChange::Put operation, const std::string& path,
                               const Fd& file) {
  operation.set_path(path);
  *operation.mutable_attributes() = TRY(read_attributes(file));
  protocol::FileChange change;
  *change.mutable_put() = std::move(operation);
  return queue(std::move(change));
}

Result<void> ChangeSender::send_content(const FileKey& key, const std::string& path, const Fd& file,
                                        uint64_t size, bool anew) {
  auto remembered = take_known(key, size);
  bool whole = anew || size <= kWholeBytes;
  protocol::FileChange::Put operation;
  operation.set_anew(anew);
  operation.set_has_content(true);
  operation.set_size(size);
  operation.set_builds_on(remembered && !whole);
  TRY(put(std::move(operation), path, file));
  KnownContent known{.block_bytes = block_bytes_for(size), .size = size, .sums = {}};
  if (!whole)
    known.sums = remembered ? std::move(remembered->sums) : TRY(ask_content(known.block_bytes));
  auto on_data = [this](uint64_t offset, std::span<const std::byte> bytes) {
    return queue_data(offset, bytes);
  };
  auto on_hole = [this](uint64_t offset, uint64_t length) {
    protocol::FileChange change;
    change.mutable_hole()->set_offset(offset);
    change.mutable_hole()->set_length(length);
    return queue(std::move(change));
  };
  known.sums = TRY(
      diff_content(file, size, known.block_bytes, known.sums, {.data = on_data, .hole = on_hole}));
  if (size <= kWholeBytes || known_blocks_ + known.sums.size() > kMaxKnownBlocks) return {};
  known_blocks_ += known.sums.size();
  known_[key] = std::move(known);
  return {};
}

Result<void> ChangeSender::queue_data(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    auto part = bytes.first(std::min(kDataBytes, bytes.size()));
    protocol::FileChange change;
    change.mutable_data()->set_offset(offset);
    change.mutable_data()->set_bytes(part.data(), part.size());
    TRY(queue(std::move(change)));
    offset += part.size();
    bytes = bytes.subspan(part.size());
  }
  return {};
}

// What the destination will have of the file once that is `size` bytes long; it is not remembered
// any more afterwards.
std::optional<ChangeSender::KnownContent> ChangeSender::take_known(const FileKey& key,
                                                                   uint64_t size) {
  auto found = known_.extract(key);
  if (!found) return std::nullopt;
  KnownContent known = std::move(found.mapped());
  known_blocks_ -= known.sums.size();
  if (known.block_bytes != block_bytes_for(size)) return std::nullopt;
  uint64_t whole_blocks = std::min(size, known.size) / known.block_bytes;
  if (size != known.size && known.sums.size() > whole_blocks) known.sums.resize(whole_blocks);
  return known;
}

Result<std::vector<BlockSum>> ChangeSender::ask_content(uint32_t block_bytes) {
  protocol::FileChange change;
  change.mutable_compare()->set_block_bytes(block_bytes);
  TRY(queue(std::move(change)));
  TRY(flush());
  auto answer = TRY(channel_.expect(protocol::Message::kBlockSums));
  return from_bytes(answer.block_sums().sums());
}

Result<void> ChangeSender::queue(protocol::FileChange change) {
  batch_bytes_ += change.ByteSizeLong();
  *batch_.mutable_file_changes()->add_changes() = std::move(change);
  return batch_bytes_ >= kBatchBytes ? flush() : Result<void>{};
}

Result<void> ChangeSender::flush() {
  if (batch_bytes_ == 0) return {};
  TRY(channel_.send(batch_));
  batch_.Clear();
  batch_bytes_ = 0;
  return {};
}

}  // namespace martlet::migrate
