// The display of a running migration on standard error: on a terminal two lines that are redrawn in
// place, elsewhere one line for each stage and round that began or ended.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "agent/api.pb.h"

namespace martlet::cli {

// What is drawn, cut to `width` columns: where the migration is, and what is expected of it.
std::vector<std::string> progress_lines(const agent::MigrationProgress& progress, size_t width);

class ProgressView {
 public:
  enum class Style { kQuiet, kPlain, kLive };

  ProgressView(std::FILE* out, Style style) : out_(out), style_(style) {}
  // Removes what was drawn last.
  ~ProgressView() { clear(); }
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  // kLive on a terminal that can move its cursor.
  static Style style_of(std::FILE* out);

  void show(const agent::MigrationProgress& progress);
  void show_done(const agent::MigrationStage& stage);

 private:
  void draw(const std::vector<std::string>& lines);
  void clear();

  std::FILE* out_;
  Style style_;
  size_t drawn_ = 0;  // lines; the cursor stands in the last one
  uint32_t round_ = 0;
};

}  // namespace martlet::cli
