// The page of `martlet stand --html`: one file that needs nothing else.
#pragma once

#include <string>

#include "stand/run.h"

namespace martlet::cli {

std::string stand_page(const models::StandGrid& grid, const stand::Outcome& outcome);

}  // namespace martlet::cli
