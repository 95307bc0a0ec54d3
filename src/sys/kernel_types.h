// Where the members of the running kernel's structures are (BTF).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct btf;

namespace martlet::sys {

class KernelTypes {
 public:
  // Some 50 ms. Errors: kSystem where the kernel does not tell its types.
  static Result<KernelTypes> load();

  // Id of a function; kSystem if there is none.
  Result<uint32_t> function(const std::string& name) const;
  // In bytes.
  Result<uint32_t> size_of(const std::string& structure) const;
  // In bytes, of a member that is no bit field: "sk_state", or through structures inside of it,
  // "__sk_common.skc_state". Members of nameless structures count as the outer one's.
  Result<uint32_t> offset_of(const std::string& structure, std::string_view member) const;

 private:
  struct Free {
    void operator()(btf* types) const;
  };
  explicit KernelTypes(btf* types) : types_(types) {}
  Result<uint32_t> find(const std::string& structure) const;

  std::unique_ptr<btf, Free> types_;
};

}  // namespace martlet::sys
