#include "cluster/sqlite_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <span>

#include "base/check.h"
#include "base/fd.h"

namespace martlet::cluster {
namespace {

constexpr const char* kSchema = R"(
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS last_revision (only_row INTEGER PRIMARY KEY, revision INTEGER NOT NULL);
  INSERT OR IGNORE INTO last_revision VALUES (1, 0);
)";

std::unexpected<Error> refused(sqlite3* database, std::string_view what) {
  const int code = sqlite3_errcode(database);
  return fail(code == SQLITE_FULL ? Code::kNoSpace : Code::kSystem,
              fmt::format("store: {}: {}", what, sqlite3_errmsg(database)));
}

// One prepared statement; finalised by the destructor.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) : database_(database) {
    sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  Statement& bind(const std::string& value) {
    sqlite3_bind_blob64(statement_, ++bound_, value.data(), value.size(), SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind_text(const std::string& value) {
    sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(Revision value) {
    sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(value));
    return *this;
  }

  // True while there is a row.
  Result<bool> step(std::string_view what) {
    const int result = statement_ ? sqlite3_step(statement_) : SQLITE_ERROR;
    if (result == SQLITE_ROW) return true;
    if (result == SQLITE_DONE) return false;
    return refused(database_, what);
  }

  std::string text(int column) const {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const int size = sqlite3_column_bytes(statement_, column);
    return data ? std::string(data, static_cast<size_t>(size)) : std::string();
  }
  Revision number(int column) const {
    return static_cast<Revision>(sqlite3_column_int64(statement_, column));
  }

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

// The smallest key that is greater than every key with the prefix.
std::string end_of(std::string prefix) {
  CHECK(!prefix.empty());
  prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

}  // namespace

void SqliteStore::Closer::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path) {
  TRY(open_file(path, O_RDWR | O_CREAT, 0600));  // SQLite gives its other files the same mode
  sqlite3* database = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr);
  std::unique_ptr<SqliteStore> store(new SqliteStore(database));
  if (opened != SQLITE_OK) return refused(database, "opening " + path);
  sqlite3_busy_timeout(database, 5000);
  TRY_IN(store->execute(kSchema), path);
  return store;
}

Result<void> SqliteStore::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return refused(database_.get(), "changing the database");
  return {};
}

Result<std::optional<StoredRecord>> SqliteStore::get_locked(const std::string& key) {
  Statement select(database_.get(), "SELECT value, revision FROM records WHERE key = ?");
  if (!TRY(select.bind_text(key).step("reading " + key))) return std::nullopt;
  return StoredRecord{key, select.text(0), select.number(1)};
}

Result<std::optional<StoredRecord>> SqliteStore::get(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return get_locked(key);
}

Result<std::vector<StoredRecord>> SqliteStore::list(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  Statement select(
      database_.get(),
      "SELECT key, value, revision FROM records WHERE key >= ? AND key < ? ORDER BY key");
  select.bind_text(prefix).bind_text(end_of(prefix));
  std::vector<StoredRecord> found;
  while (TRY(select.step("reading " + prefix)))
    found.push_back({select.text(0), select.text(1), select.number(2)});
  return found;
}

Result<Revision> SqliteStore::write_in_transaction(const std::string& key, const std::string* value,
                                                   std::optional<Revision> expected) {
  const auto present = TRY(get_locked(key));
  const Revision revision = present ? present->revision : kAbsent;
  if (expected && *expected != revision)
    return fail(Code::kAlreadyExists,
                fmt::format("record {} is at revision {}, not {}", key, revision, *expected));
  Statement advance(database_.get(),
                    "UPDATE last_revision SET revision = revision + 1 RETURNING revision");
  TRY(advance.step("writing " + key));
  const Revision next = advance.number(0);
  TRY(advance.step("writing " + key));
  Statement change(database_.get(), value ? "INSERT OR REPLACE INTO records VALUES (?, ?, ?)"
                                          : "DELETE FROM records WHERE key = ?");
  change.bind_text(key);
  if (value) change.bind(*value).bind(next);
  TRY(change.step("writing " + key));
  return next;
}

Result<Revision> SqliteStore::write(const std::string& key, const std::string* value,
                                    std::optional<Revision> expected) {
  const std::lock_guard lock(mutex_);
  TRY(execute("BEGIN IMMEDIATE"));
  auto written = write_in_transaction(key, value, expected);
  if (!written) {
    (void)execute("ROLLBACK");
    return written;
  }
  TRY(execute("COMMIT"));
  return written;
}

Result<Revision> SqliteStore::put(const std::string& key, const std::string& value) {
  return write(key, &value, std::nullopt);
}

Result<Revision> SqliteStore::put_if(const std::string& key, const std::string& value,
                                     Revision expected) {
  return write(key, &value, expected);
}

Result<void> SqliteStore::erase(const std::string& key) {
  TRY(write(key, nullptr, std::nullopt));
  return {};
}

Result<void> SqliteStore::erase_if(const std::string& key, Revision expected) {
  TRY(write(key, nullptr, expected));
  return {};
}

}  // namespace martlet::cluster
