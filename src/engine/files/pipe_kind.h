// Pipes and FIFOs: both ends, however many descriptions each has, with the data in between.
//
// All descriptions of one pipe are made at the first create() of one of them, for which every File
// record of the image must be known; those that are not asked for yet wait in the context's stash.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& pipe_kind();

}  // namespace martlet::engine
