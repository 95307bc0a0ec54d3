// The VmFlags of a process's mappings without a walk through its page tables.
//
// /proc/PID/smaps counts the pages of every mapping before it prints its flags, which takes about
// 11 ms for each gigabyte. A BPF iterator (bpf_iter__task_vma, Linux 6.1 with BTF) reads the word
// that holds the flags. What its bits mean differs between kernels, so it is learnt when the
// reader is made: from mappings of this process, whose flags smaps spells out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "sys/procfs.h"

namespace martlet::sys {

// What a word of flags means. Pure.
class FlagMeanings {
 public:
  struct Example {
    uint64_t bits;
    std::string flags;  // as smaps prints the same
  };
  // Bits that are set in the same examples belong to the flags that are printed for those.
  static FlagMeanings learn(const std::vector<Example>& examples);

  // As in Vma::flags. None if a bit is set that no example had, if of bits that always came
  // together only some are set, or if one is missing that all examples had.
  std::optional<std::string> spell(uint64_t bits) const;

 private:
  struct Meaning {
    uint64_t bits;  // that always come together
    std::string flags;
    bool always;
  };
  std::vector<Meaning> meanings_;
};

class MappingFlags {
 public:
  // Errors: kSystem where the kernel has no such iterator or does not let this process use it.
  static Result<MappingFlags> load();
  // The one of this process, made by the first caller, who waits some 50 ms.
  static const Result<MappingFlags>& shared();

  // The mappings of a process that stands still; kUnsupported if one has a flag that is unknown.
  Result<std::vector<Vma>> read(HostPid pid) const;

 private:
  explicit MappingFlags(Fd program) : program_(std::move(program)) {}
  struct Word {
    uint64_t start, end, bits;
  };
  Result<std::vector<Word>> words(HostPid pid) const;
  Result<void> learn();

  Fd program_;
  FlagMeanings meanings_;
};

// The mappings of a process that stands still, with their flags, in the fastest way there is.
Result<std::vector<Vma>> read_mappings(HostPid pid);

}  // namespace martlet::sys
