#include "cluster/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/test_util.h"

namespace martlet::cluster {
namespace {

class SqliteStoreTest : public testing::Test {
 protected:
  SqliteStoreTest() { reopen(); }

  void reopen() {
    store_.reset();
    auto opened = SqliteStore::open(path());
    ASSERT_TRUE(opened) << opened.error().to_string();
    store_ = std::move(*opened);
  }
  std::string path() const { return directory_ / "agent.db"; }

  TemporaryDirectory directory_;
  std::unique_ptr<SqliteStore> store_;
};

TEST_F(SqliteStoreTest, KeepsRecordsWhenReopened) {
  const std::string value("with\0zero", 9);
  const auto revision = store_->put("containers/redis", value);
  ASSERT_TRUE(revision);
  reopen();
  const auto found = store_->get("containers/redis");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->value, value);
  EXPECT_EQ((*found)->revision, *revision);
}

TEST_F(SqliteStoreTest, ListsByPrefixInOrder) {
  for (const char* key : {"containers/b", "hosts/x", "containers/a", "container", "containers0"})
    ASSERT_TRUE(store_->put(key, "v"));
  const auto found = store_->list("containers/");
  ASSERT_TRUE(found);
  std::vector<std::string> keys;
  for (const StoredRecord& record : *found) keys.push_back(record.key);
  EXPECT_THAT(keys, testing::ElementsAre("containers/a", "containers/b"));
}

TEST_F(SqliteStoreTest, OfTwoWritersThatReadTheSameOneFails) {
  const auto first = store_->put_if("k", "1", kAbsent);
  ASSERT_TRUE(first);
  EXPECT_TRUE(store_->put_if("k", "2", *first));
  const auto late = store_->put_if("k", "3", *first);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::kAlreadyExists);
  EXPECT_EQ((*store_->get("k"))->value, "2");
  EXPECT_FALSE(store_->erase_if("k", *first));
}

TEST_F(SqliteStoreTest, NeverReusesARevision) {
  const auto first = store_->put("k", "1");
  ASSERT_TRUE(store_->erase("k"));
  EXPECT_FALSE(*store_->get("k"));
  const auto second = store_->put_if("k", "2", kAbsent);
  ASSERT_TRUE(second);
  EXPECT_GT(*second, *first);
}

TEST_F(SqliteStoreTest, IsReadableByRootOnly) {
  struct stat status{};
  ASSERT_EQ(stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

}  // namespace
}  // namespace martlet::cluster
