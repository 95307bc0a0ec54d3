// The vDSO of a restored process.
//
// The kernel gives every process its own vDSO at an address of its choice, and the process
// remembers that address. If the destination's vDSO has the same code it is moved to the remembered
// address. If not (another kernel), the code of the source is put there with each function turned
// into a jump to the destination's function of the same name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace martlet::engine {

struct VdsoFunction {
  std::string name;
  uint64_t offset;  // from the start of the vDSO
};

// The functions that a vDSO image exports. kBadImage if it is not an ELF image.
Result<std::vector<VdsoFunction>> vdso_functions(std::span<const std::byte> image);

// The source's vDSO code with every function replaced by a jump to the same function of `local`,
// which lives at `local_address`. kUnsupported if a function has no counterpart.
Result<std::vector<std::byte>> redirect_vdso(std::span<const std::byte> source,
                                             std::span<const std::byte> local,
                                             uint64_t local_address);

// The vDSO code of this process.
Result<std::vector<std::byte>> local_vdso();

}  // namespace martlet::engine
