// What pages and drawings share.
#pragma once

#include <string>
#include <string_view>

namespace martlet::cli {

// Text as it may stand in HTML and SVG, in an attribute too.
std::string escaped(std::string_view text);

// A page's beginning, with the style of all pages, until and with <body>. The title is escaped.
std::string page_head(std::string_view title);

// A round number of which about six fill an axis of this length > 0.
double round_step(double length);

}  // namespace martlet::cli
