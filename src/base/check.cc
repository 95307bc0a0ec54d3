#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace martlet::internal {

void check_failed(std::string_view condition, std::source_location where) {
  std::fprintf(stderr, "martlet: broken invariant at %s:%u: %.*s\n", where.file_name(),
               static_cast<unsigned>(where.line()), static_cast<int>(condition.size()),
               condition.data());
  std::abort();
}

}  // namespace martlet::internal
