#include "models/markov/incoming.h"

#include <numeric>

namespace martlet::models {

IncomingArcs incoming_arcs(const Chain& chain, const std::vector<size_t>& members) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  std::vector<size_t> position(chain.size(), kNone);
  for (size_t i = 0; i < members.size(); ++i) position[members[i]] = i;
  IncomingArcs result;
  result.begin.assign(members.size() + 1, 0);
  result.exit.assign(members.size(), 0);
  const auto for_each_arc = [&](auto action) {
    for (size_t i = 0; i < members.size(); ++i)
      for (const Arc& arc : chain.from(members[i]))
        if (position[arc.to] != kNone) action(i, position[arc.to], arc.rate);
  };
  for_each_arc([&](size_t, size_t to, double) { result.begin[to + 1]++; });
  std::partial_sum(result.begin.begin(), result.begin.end(), result.begin.begin());
  result.source.resize(result.begin.back());
  result.rate.resize(result.begin.back());
  std::vector<size_t> next(result.begin.begin(), result.begin.end() - 1);
  for_each_arc([&](size_t from, size_t to, double rate) {
    result.source[next[to]] = static_cast<uint32_t>(from);
    result.rate[next[to]++] = rate;
    result.exit[from] += rate;
  });
  return result;
}

IncomingArcs incoming_arcs(const Chain& chain) {
  std::vector<size_t> all(chain.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return incoming_arcs(chain, all);
}

}  // namespace martlet::models
