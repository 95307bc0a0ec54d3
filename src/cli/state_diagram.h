// Draws a chain: states as boxes in columns by their distance from the initial state, transitions
// as curves with their rates.
#pragma once

#include <string>

#include "models/markov/chain_model.h"

namespace martlet::cli {

// An SVG document that needs nothing else; it follows the reader's light or dark theme. States that
// are down are filled. The chain has been checked (ChainModel::make).
std::string state_diagram(const models::ChainDescription& chain);

}  // namespace martlet::cli
