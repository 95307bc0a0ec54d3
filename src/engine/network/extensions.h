// Extensions of iptables, that is, matches and targets of the kernel's x_tables: in rules of
// nftables that iptables has made, and in tables of iptables-legacy. What the kernel tells of those
// that are carried is all that they are set to; what they have counted since begins anew.
#pragma once

#include <string_view>

#include "base/result.h"

namespace martlet::engine {

enum class ExtensionKind { kMatch, kTarget };

// Refuses by name what holds more than it is set to, or refers to what lies outside of the network.
Result<void> check_extension(ExtensionKind kind, std::string_view name);

// A refusal of a part of the container's own packet filter.
std::unexpected<Error> refuse_in_filter(std::string_view what);

}  // namespace martlet::engine
