#include "migrate/journal.h"

#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/fd.h"

namespace martlet::migrate {

namespace {

constexpr const char* kSuffix = ".json";
constexpr std::array<const char*, 5> kStates = {"preparing", "committing", "prepared", "committed",
                                                "leaving"};

Result<JournalEntry> parse(const std::string& text, const std::string& path) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  auto field = [&](const char* name) {
    return json.is_object() && json.contains(name) && json[name].is_string()
               ? json[name].get<std::string>()
               : std::string();
  };
  for (size_t i = 0; i < kStates.size(); ++i) {
    if (field("state") != kStates[i] || !is_migration_id(field("migration"))) continue;
    return JournalEntry{.migration = field("migration"),
                        .container = field("container"),
                        .state = static_cast<JournalState>(i),
                        .peer = field("peer")};
  }
  return fail(Code::kBadImage, path + " is not a migration's journal");
}

}  // namespace

Result<Journal> Journal::open(std::string directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return std::unexpected(Error::from_errno(error.value(), "make " + directory));
  return Journal(std::move(directory));
}

std::string Journal::path_of(const std::string& migration) const {
  return directory_ + "/" + migration + kSuffix;
}

Result<void> Journal::write(const JournalEntry& entry) const {
  CHECK(is_migration_id(entry.migration));
  nlohmann::json json = {{"migration", entry.migration},
                         {"container", entry.container},
                         {"state", kStates[static_cast<size_t>(entry.state)]},
                         {"peer", entry.peer}};
  return replace_file(path_of(entry.migration), json.dump(2) + "\n", 0600);
}

Result<void> Journal::erase(const std::string& migration) const {
  if (::unlink(path_of(migration).c_str()) != 0 && errno != ENOENT)
    return fail_errno("remove " + path_of(migration));
  return {};
}

Result<std::vector<JournalEntry>> Journal::list() const {
  std::vector<JournalEntry> entries;
  for (const auto& file : std::filesystem::directory_iterator(directory_)) {
    if (file.path().extension() != kSuffix) continue;  // a draft that was never renamed
    std::string path = file.path().string();
    entries.push_back(TRY(parse(TRY(read_file(path)), path)));
  }
  return entries;
}

Result<JournalEntry> Journal::find(const std::string& migration) const {
  if (!is_migration_id(migration)) return fail(Code::kInvalidArgument, "not a migration's id");
  return parse(TRY(read_file(path_of(migration))), path_of(migration));
}

std::string make_migration_id() {
  std::array<unsigned char, 16> bytes;
  CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  std::string id;
  for (unsigned char byte : bytes) {
    id += "0123456789abcdef"[byte >> 4];
    id += "0123456789abcdef"[byte & 15];
  }
  return id;
}

bool is_migration_id(const std::string& text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace martlet::migrate
