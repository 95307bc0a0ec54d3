#include "cli/markup.h"

#include <fmt/format.h>

#include <cmath>

namespace martlet::cli {
namespace {

constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ground: #fff; --text: #1c2330; --faint: #68707f; --line: #d6dae2;
  --runs: #4a7dbd; --still: #d2593f; --range: #8a93a5; --dirty: #c77d12; --band: #d2593f1c; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #14181f; --text: #e3e7ee; --faint: #98a1b1;
  --line: #323a47; --runs: #6ea1e0; --still: #ec7a60; --range: #7b8598; --dirty: #e0a044;
  --band: #ec7a6024; }} }}
body {{ background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; margin: 0; }} h2 {{ font-size: 1.05rem; margin: 2rem 0 .3rem; }}
p {{ margin: .3rem 0; }} .faint {{ color: var(--faint); }}
svg {{ width: 100%; height: auto; display: block; }} svg text {{ fill: var(--text); font-size: 12px; }}
svg .faint {{ fill: var(--faint); }} .runs {{ fill: var(--runs); }} .still {{ fill: var(--still); }}
.band {{ fill: var(--band); }} .grid {{ stroke: var(--line); }} .range {{ stroke: var(--range);
  stroke-width: 2; fill: none; }} .link {{ stroke: var(--runs); stroke-width: 2; fill: none; }}
.dirty {{ stroke: var(--dirty); stroke-width: 2; fill: none; }}
.link-key {{ color: var(--runs); }} .dirty-key {{ color: var(--dirty); }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
td, th {{ padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }}
td:first-child, th:first-child {{ text-align: left; }} .miss {{ color: var(--still); }}
.text td, .text th {{ text-align: left; }} .wide {{ overflow-x: auto; }} .wide svg {{ width: auto; max-width: none; }}
</style></head><body>
)";

}  // namespace

std::string page_head(std::string_view title) {
  return fmt::format(fmt::runtime(kHead), fmt::arg("title", title));
}

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      default: safe += c;
    }
  }
  return safe;
}

double round_step(double length) {
  const double step = std::pow(10, std::floor(std::log10(length / 6)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (length / (factor * step) <= 7) return factor * step;
  return 10 * step;
}

}  // namespace martlet::cli
