#include "engine/memory/huge_pages.h"

#include <cerrno>

namespace martlet::engine {

std::unexpected<Error> name_lack_of_pages(uint32_t huge_page_bits, Error failure) {
  if (huge_page_bits == 0 || failure.error_number() != ENOMEM)
    return std::unexpected(std::move(failure));
  return std::unexpected(
      std::move(failure).with_remedy("reserve more huge pages (vm.nr_hugepages) here"));
}

}  // namespace martlet::engine
