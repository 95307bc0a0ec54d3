#include "migrate/push_plan.h"

#include <algorithm>

namespace martlet::migrate {

void PushPlan::add(const PageSpan& span) {
  std::lock_guard lock(mutex_);
  spans_[span.process].insert_or_assign(span.range.start, span.range.end);
  left_ += span.range.size();
}

std::optional<PageSpan> PushPlan::next(uint64_t limit) {
  std::lock_guard lock(mutex_);
  if (spans_.empty()) return std::nullopt;
  auto of_process = spans_.lower_bound(process_);
  uint64_t from = of_process != spans_.end() && of_process->first == process_ ? address_ : 0;
  if (of_process == spans_.end()) of_process = spans_.begin();
  auto& spans = of_process->second;
  auto at = spans.upper_bound(from);
  if (at != spans.begin() && std::prev(at)->second > from) --at;
  if (at == spans.end()) at = spans.begin();  // what was passed over
  uint64_t start = std::max(at->first, from < at->second ? from : 0);
  PageSpan next{of_process->first, {start, std::min(at->second, start + limit)}};
  process_ = next.process;
  address_ = next.range.end;
  cut(spans, next.range);
  if (spans.empty()) spans_.erase(of_process);
  return next;
}

engine::Ranges PushPlan::take(const PageSpan& span) {
  std::lock_guard lock(mutex_);
  auto of_process = spans_.find(span.process);
  if (of_process == spans_.end()) return {};
  auto& spans = of_process->second;
  engine::Ranges taken;
  auto at = spans.upper_bound(span.range.start);
  if (at != spans.begin()) --at;
  for (; at != spans.end() && at->first < span.range.end; ++at) {
    sys::Range part{std::max(at->first, span.range.start), std::min(at->second, span.range.end)};
    if (part.start < part.end) taken.push_back(part);
  }
  for (const sys::Range& part : taken) cut(spans, part);
  if (spans.empty()) spans_.erase(of_process);
  return taken;
}

void PushPlan::go_on_at(NsPid process, uint64_t address) {
  std::lock_guard lock(mutex_);
  process_ = process;
  address_ = address;
}

// `range` lies in one of the spans.
void PushPlan::cut(Spans& spans, sys::Range range) {
  auto at = std::prev(spans.upper_bound(range.start));
  auto [start, end] = *at;
  spans.erase(at);
  if (start < range.start) spans.emplace(start, range.start);
  if (range.end < end) spans.emplace(range.end, end);
  left_ -= range.size();
}

uint64_t PushPlan::left() const {
  std::lock_guard lock(mutex_);
  return left_;
}

}  // namespace martlet::migrate
