// A user's own chain, or a design with other options and rates, from TOML; docs/designer.md.
#pragma once

#include <string_view>

#include "models/markov/chain_model.h"

namespace martlet::models {

// Errors name the key, the state or the transition. The result is not checked as a chain yet.
Result<ChainDescription> parse_chain_file(std::string_view text);

}  // namespace martlet::models
