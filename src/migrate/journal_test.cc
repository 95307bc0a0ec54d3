#include "migrate/journal.h"

#include "migrate/test_util.h"

namespace martlet::migrate {
namespace {

JournalEntry some_entry(JournalState state) {
  return {.migration = make_migration_id(), .container = "redis", .state = state, .peer = "host-b"};
}

TEST(Journal, RemembersTheLastState) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory / "migrations"));
  JournalEntry entry = some_entry(JournalState::kPreparing);
  must(journal.write(entry));
  entry.state = JournalState::kCommitting;
  must(journal.write(entry));

  auto entries = must(must(Journal::open(directory / "migrations")).list());
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].state, JournalState::kCommitting);
  EXPECT_EQ(entries[0].container, "redis");
  EXPECT_EQ(entries[0].peer, "host-b");
}

TEST(Journal, ForgetsWhatIsErased) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory.path()));
  JournalEntry entry = some_entry(JournalState::kPrepared);
  must(journal.write(entry));
  must(journal.erase(entry.migration));
  must(journal.erase(entry.migration));
  EXPECT_EQ(journal.find(entry.migration).error().code(), Code::kNotFound);
}

TEST(Journal, ADamagedFileIsAnErrorThatNamesIt) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory.path()));
  std::string path = directory / (make_migration_id() + ".json");
  write_text(path, "{\"state\": \"commit");
  auto entries = journal.list();
  ASSERT_FALSE(entries);
  EXPECT_NE(entries.error().to_string().find(path), std::string::npos);
}

TEST(Journal, IgnoresADraft) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory.path()));
  write_text(directory / (make_migration_id() + ".json.new"), "{");
  EXPECT_TRUE(must(journal.list()).empty());
}

TEST(Journal, NeverLeavesItsDirectory) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory.path()));
  EXPECT_EQ(journal.find("../../etc/passwd").error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace martlet::migrate
