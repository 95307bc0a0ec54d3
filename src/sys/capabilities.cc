#include "sys/capabilities.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <algorithm>
#include <memory>

namespace martlet::sys {
namespace {

std::string name_of(cap_value_t capability) {
  const std::unique_ptr<char, int (*)(void*)> name(cap_to_name(capability), cap_free);
  std::string upper = name ? name.get() : "";
  std::ranges::transform(upper, upper.begin(), ::toupper);
  return upper;
}

}  // namespace

Result<std::vector<std::string>> own_capabilities() {
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> own(cap_get_proc(), cap_free);
  if (!own) return fail_errno("cap_get_proc");
  std::vector<std::string> names;
  for (cap_value_t capability = 0; capability < cap_max_bits(); capability++) {
    cap_flag_value_t permitted = CAP_CLEAR;
    if (cap_get_flag(own.get(), capability, CAP_PERMITTED, &permitted) != 0) continue;
    if (permitted == CAP_SET && prctl(PR_CAPBSET_READ, capability) == 1)
      names.push_back(name_of(capability));
  }
  return names;
}

}  // namespace martlet::sys
