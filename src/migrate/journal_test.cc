#include "migrate/journal.h"

#include "base/random_id.h"
#include "migrate/test_util.h"

namespace martlet::migrate {
namespace {

JournalEntry some_entry(JournalState state) {
  return {.migration = random_id(),
          .container = "redis",
          .incarnation = "",
          .state = state,
          .peer = "host-b"};
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
  std::string path = directory / (random_id() + ".json");
  write_text(path, "{\"state\": \"commit");
  auto entries = journal.list();
  ASSERT_FALSE(entries);
  EXPECT_NE(entries.error().to_string().find(path), std::string::npos);
}

// As after a loss of power in the middle of a write.
TEST(Journal, AStateThatWasNotWrittenToItsEndIsNoState) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory.path()));
  JournalEntry entry = some_entry(JournalState::kPrepared);
  must(journal.write(entry));
  entry.state = JournalState::kCommitted;
  must(journal.write(entry));
  std::string path = directory / (entry.migration + ".json");
  std::string whole = must(read_file(path));
  std::string torn = whole;
  torn.replace(torn.find("committed"), 4, std::string(4, '\0'));
  write_text(path, torn);
  EXPECT_EQ(must(journal.find(entry.migration)).state, JournalState::kPrepared);
  entry.state = JournalState::kArrived;
  must(journal.write(entry));
  EXPECT_EQ(must(journal.find(entry.migration)).state, JournalState::kArrived);
}

TEST(Journal, TheSizeOfAFileNeverChanges) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory.path()));
  JournalEntry entry = some_entry(JournalState::kPreparing);
  must(journal.write(entry));
  std::string path = directory / (entry.migration + ".json");
  size_t size = must(read_file(path)).size();
  for (JournalState state : {JournalState::kCommitting, JournalState::kPreparing,
                             JournalState::kCommitting, JournalState::kLeaving}) {
    entry.state = state;
    must(journal.write(entry));
    EXPECT_EQ(must(read_file(path)).size(), size);
    EXPECT_EQ(must(journal.find(entry.migration)).state, state);
  }
}

TEST(Journal, IgnoresADraft) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory.path()));
  write_text(directory / (random_id() + ".json.new"), "{");
  EXPECT_TRUE(must(journal.list()).empty());
}

TEST(Journal, NeverLeavesItsDirectory) {
  TemporaryDirectory directory;
  Journal journal = must(Journal::open(directory.path()));
  EXPECT_EQ(journal.find("../../etc/passwd").error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace martlet::migrate
