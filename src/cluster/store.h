// Durable records by key, each with the revision of its last change.
//
// A write names the revision it expects, so that of two writers that read the same record one
// fails; this is how ownership of a container changes hands. Implementations may be called from any
// thread. When put() or erase() has returned, the change survives a power cut.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace martlet::cluster {

// Grows with every change of the store; never reused. Revision 0 means "does not exist".
using Revision = uint64_t;
inline constexpr Revision kAbsent = 0;

struct StoredRecord {
  std::string key;
  std::string value;
  Revision revision = kAbsent;
};

class Store {
 public:
  virtual ~Store() = default;

  virtual Result<std::optional<StoredRecord>> get(const std::string& key) = 0;
  // Every record whose key starts with `prefix`, by key.
  virtual Result<std::vector<StoredRecord>> list(const std::string& prefix) = 0;

  // Unconditional writes.
  virtual Result<Revision> put(const std::string& key, const std::string& value) = 0;
  virtual Result<void> erase(const std::string& key) = 0;

  // Writes only if the record's revision is still `expected`. kAlreadyExists if it is not.
  virtual Result<Revision> put_if(const std::string& key, const std::string& value,
                                  Revision expected) = 0;
  virtual Result<void> erase_if(const std::string& key, Revision expected) = 0;
};

}  // namespace martlet::cluster
