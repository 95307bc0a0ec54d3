#include "migrate/overlay_notes.h"

#include <algorithm>
#include <iterator>

namespace martlet::migrate {

namespace {

constexpr std::string_view kNotes[] = {"trusted.overlay.origin", "trusted.overlay.impure",
                                       "trusted.overlay.nlink", "trusted.overlay.upper",
                                       "trusted.overlay.uuid"};

}  // namespace

bool is_overlay_note(std::string_view attribute) {
  return std::ranges::find(kNotes, attribute) != std::end(kNotes);
}

std::vector<std::string> rsync_without_overlay_notes() {
  // With a filter of attributes rsync does not leave out those of the kernel by itself; access
  // control lists travel by an option of their own.
  std::vector<std::string> options = {"--filter=-x system.*"};
  for (std::string_view note : kNotes) options.push_back("--filter=-x " + std::string(note));
  return options;
}

}  // namespace martlet::migrate
