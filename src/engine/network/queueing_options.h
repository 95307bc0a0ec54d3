// How queueing disciplines tell what they are set to, and how the kernel takes it again: mostly in
// the same form.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace martlet::engine {

bool is_known_discipline(std::string_view kind);

// TCA_OPTIONS of a discipline or class, as the kernel tells them, in the form that it takes.
// Errors: kUnsupported, of a kind that is not known or is set to something that the kernel does not
// tell.
Result<std::string> options_to_set(std::string_view kind, const std::string& told);

}  // namespace martlet::engine
