// epoll: the set of watched descriptions, each under the number by which it was added.
//
// The kernel knows an entry by description and number. The number may meanwhile belong to another
// file or to none, so the description behind each entry is established, not assumed.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& epoll_kind();

}  // namespace martlet::engine
