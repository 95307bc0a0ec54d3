// Identifiers that are drawn, not counted.
#pragma once

#include <string>

namespace martlet {

// 32 random hexadecimal digits: no two are ever equal, on whatever hosts they were drawn.
std::string random_id();
bool is_random_id(const std::string& text);

}  // namespace martlet
