#include "migrate/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/check.h"
#include "base/fd.h"
#include "base/random_id.h"

namespace martlet::migrate {

namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".json";
constexpr const char* kDraftSuffix = ".new";  // of replace_file()
constexpr std::array<const char*, 8> kStates = {"preparing", "committing", "leaving", "prepared",
                                                "committed", "arrived",    "serving", "arriving"};

// A file holds two of these, and the next state overwrites the older one. It is one line of JSON, a
// line with its checksum, and empty lines.
constexpr size_t kSlotBytes = 4096;
constexpr size_t kSlots = 2;

struct Slot {
  size_t number;
  uint64_t sequence;
  nlohmann::json entry;
};

std::string checksum_of(std::string_view line) {
  return fmt::format("{:016x}", XXH3_64bits(line.data(), line.size()));
}

// Empty if it was never written, or not to its end.
std::optional<Slot> read_slot(std::string_view file, size_t number) {
  if (file.size() != kSlots * kSlotBytes) return std::nullopt;
  std::string_view text = file.substr(number * kSlotBytes, kSlotBytes);
  std::string_view line = text.substr(0, text.find('\n'));
  if (!text.substr(std::min(text.size(), line.size() + 1)).starts_with(checksum_of(line)))
    return std::nullopt;
  auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("sequence") || !json["sequence"].is_number_unsigned())
    return std::nullopt;
  uint64_t sequence = json["sequence"].get<uint64_t>();
  return Slot{number, sequence, std::move(json)};
}

std::optional<Slot> newest_slot(std::string_view file) {
  std::optional<Slot> newest;
  for (size_t number = 0; number < kSlots; ++number)
    if (auto slot = read_slot(file, number))
      if (!newest || slot->sequence > newest->sequence) newest = std::move(slot);
  return newest;
}

Result<std::string> make_slot(const nlohmann::json& entry) {
  std::string line = entry.dump();
  std::string text = line + "\n" + checksum_of(line) + "\n";
  if (text.size() > kSlotBytes)
    return fail(Code::kInvalidArgument, "a name is too long for the migration's journal");
  text.resize(kSlotBytes, '\n');
  return text;
}

// No more than the flush of one block that was there already.
Result<void> overwrite(const std::string& path, size_t slot, std::string_view text) {
  Fd fd = TRY(open_file(path, O_WRONLY));
  if (::lseek(fd.get(), static_cast<off_t>(slot * kSlotBytes), SEEK_SET) < 0)
    return fail_errno("seek in " + path);
  TRY_IN(write_full(fd.get(), std::as_bytes(std::span(text))), path);
  if (::fdatasync(fd.get()) != 0) return fail_errno("sync " + path);
  return {};
}

Result<std::string> boot_of_this_host() {
  std::string id = TRY(read_file("/proc/sys/kernel/random/boot_id"));
  return id.substr(0, id.find('\n'));
}

// An agent that died while it wrote leaves its draft.
void remove_drafts(const std::string& directory) {
  std::error_code ignored;
  for (const auto& file : fs::directory_iterator(directory, ignored))
    if (file.path().extension() == kDraftSuffix) fs::remove(file.path(), ignored);
}

}  // namespace

Result<Journal> Journal::open(std::string directory, std::string boot) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return std::unexpected(Error::from_errno(error.value(), "make " + directory));
  remove_drafts(directory);
  if (boot.empty()) boot = TRY(boot_of_this_host());
  return Journal(std::move(directory), std::move(boot));
}

std::string Journal::path_of(const std::string& migration) const {
  return directory_ + "/" + migration + kSuffix;
}

Result<void> Journal::write(const JournalEntry& entry) const {
  CHECK(is_random_id(entry.migration));
  const std::string path = path_of(entry.migration);
  auto file = read_file(path);
  if (!file && file.error().code() != Code::kNotFound) return std::unexpected(file.error());
  const auto newest = file ? newest_slot(*file) : std::nullopt;
  const std::string text = TRY(make_slot({{"migration", entry.migration},
                                          {"container", entry.container},
                                          {"incarnation", entry.incarnation},
                                          {"state", kStates[static_cast<size_t>(entry.state)]},
                                          {"peer", entry.peer},
                                          {"late_memory", entry.late_memory},
                                          {"boot", boot_},
                                          {"sequence", newest ? newest->sequence + 1 : 1}}));
  if (newest) return overwrite(path, 1 - newest->number, text);
  return replace_file(path, text + std::string(kSlotBytes, '\n'), 0600);
}

// Synced, because the other side forgets the migration once this one has.
Result<void> Journal::erase(const std::string& migration) const {
  if (::unlink(path_of(migration).c_str()) != 0)
    return errno == ENOENT ? Result<void>{} : fail_errno("remove " + path_of(migration));
  Fd directory = TRY(open_file(directory_, O_RDONLY | O_DIRECTORY));
  if (::fsync(directory.get()) != 0) return fail_errno("sync " + directory_);
  return {};
}

Result<JournalEntry> Journal::read(const std::string& path) const {
  const auto newest = newest_slot(TRY(read_file(path)));
  auto field = [&](const char* name) {
    return newest && newest->entry.contains(name) && newest->entry[name].is_string()
               ? newest->entry[name].get<std::string>()
               : std::string();
  };
  for (size_t i = 0; i < kStates.size(); ++i) {
    if (field("state") != kStates[i] || !is_random_id(field("migration"))) continue;
    return JournalEntry{.migration = field("migration"),
                        .container = field("container"),
                        .incarnation = field("incarnation"),
                        .state = static_cast<JournalState>(i),
                        .peer = field("peer"),
                        .late_memory = newest->entry.contains("late_memory") &&
                                       newest->entry["late_memory"] == true,
                        .booted = field("boot") != boot_};
  }
  return fail(Code::kBadImage, path + " is not a migration's journal");
}

Result<std::vector<JournalEntry>> Journal::list() const {
  std::vector<JournalEntry> entries;
  for (const auto& file : fs::directory_iterator(directory_)) {
    if (file.path().extension() != kSuffix) continue;  // a draft that was never renamed
    entries.push_back(TRY(read(file.path().string())));
  }
  return entries;
}

Result<JournalEntry> Journal::find(const std::string& migration) const {
  if (!is_random_id(migration)) return fail(Code::kInvalidArgument, "not a migration's id");
  return read(path_of(migration));
}

}  // namespace martlet::migrate
