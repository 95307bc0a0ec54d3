// How a selection looks: table and JSON.
#pragma once

#include <string>

#include "cli/output.h"
#include "models/design/selection.h"

namespace martlet::cli {

std::string to_text(const models::Plan& plan, const models::Selection& selection, size_t shown);
Json to_json(const models::Plan& plan, const models::Selection& selection, size_t shown);

// "longest move: needed 60 s, found 133.2 s (122% over)".
std::string describe(const models::Plan& plan, const models::Miss& miss);
// "12 500 EUR".
std::string price(const models::Plan& plan, double amount);
// "+0.96%" of down time for 1% more of the parameter.
std::string elasticity(const models::Sensitivity& sensitivity);
std::string meaning_of(const std::string& parameter);

}  // namespace martlet::cli
