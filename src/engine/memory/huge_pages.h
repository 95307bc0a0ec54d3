// Memory of huge pages (hugetlb), which come from a pool of the host.
#pragma once

#include "base/result.h"

namespace martlet::engine {

// Adds the remedy to a failure to get such pages. `huge_page_bits` 0: ordinary ones.
std::unexpected<Error> name_lack_of_pages(uint32_t huge_page_bits, Error failure);

}  // namespace martlet::engine
