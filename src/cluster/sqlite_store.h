// The store of one host alone: a SQLite database in the agent's state directory.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "cluster/store.h"

struct sqlite3;

namespace martlet::cluster {

class SqliteStore final : public Store {
 public:
  // Opens or creates the database (mode 0600).
  static Result<std::unique_ptr<SqliteStore>> open(const std::string& path);

  Result<std::optional<StoredRecord>> get(const std::string& key) override;
  Result<std::vector<StoredRecord>> list(const std::string& prefix) override;
  Result<Revision> put(const std::string& key, const std::string& value) override;
  Result<void> erase(const std::string& key) override;
  Result<Revision> put_if(const std::string& key, const std::string& value,
                          Revision expected) override;
  Result<void> erase_if(const std::string& key, Revision expected) override;

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  explicit SqliteStore(sqlite3* database) : database_(database) {}

  Result<void> execute(const char* sql);
  Result<std::optional<StoredRecord>> get_locked(const std::string& key);
  // The condition, if any, and the write in one transaction.
  Result<Revision> write(const std::string& key, const std::string* value,
                         std::optional<Revision> expected);
  Result<Revision> write_in_transaction(const std::string& key, const std::string* value,
                                        std::optional<Revision> expected);

  std::mutex mutex_;  // of the connection
  std::unique_ptr<sqlite3, Closer> database_;
};

}  // namespace martlet::cluster
