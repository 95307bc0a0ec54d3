// What pages and drawings share.
#pragma once

#include <string>
#include <string_view>

namespace martlet::cli {

// Text as it may stand in HTML and SVG, in an attribute too.
std::string escaped(std::string_view text);

}  // namespace martlet::cli
