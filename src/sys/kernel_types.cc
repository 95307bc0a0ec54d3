#include "sys/kernel_types.h"

#include <bpf/btf.h>

#include <algorithm>
#include <optional>

namespace martlet::sys {
namespace {

struct Member {
  uint32_t bits;  // from the start of the structure
  const btf_type* type;
};

const btf_type* without_qualifiers(const btf* types, uint32_t id) {
  const btf_type* type = btf__type_by_id(types, id);
  while (type != nullptr && (btf_is_mod(type) || btf_is_typedef(type)))
    type = btf__type_by_id(types, type->type);
  return type;
}

std::optional<Member> find_member(const btf* types, const btf_type* owner, std::string_view name) {
  if (owner == nullptr || !btf_is_composite(owner)) return std::nullopt;
  for (uint16_t i = 0; i < btf_vlen(owner); ++i) {
    const btf_member& member = btf_members(owner)[i];
    std::string_view member_name = btf__name_by_offset(types, member.name_off);
    const uint32_t at = btf_member_bit_offset(owner, i);
    const btf_type* type = without_qualifiers(types, member.type);
    if (member_name == name) return Member{at, type};
    if (!member_name.empty()) continue;
    if (auto inside = find_member(types, type, name))
      return Member{at + inside->bits, inside->type};
  }
  return std::nullopt;
}

}  // namespace

void KernelTypes::Free::operator()(btf* types) const {
  btf__free(types);
}

Result<KernelTypes> KernelTypes::load() {
  KernelTypes loaded(btf__load_vmlinux_btf());
  if (!loaded.types_) return fail_errno("read the kernel's types (BTF)");
  return loaded;
}

Result<uint32_t> KernelTypes::function(const std::string& name) const {
  int id = btf__find_by_name_kind(types_.get(), name.c_str(), BTF_KIND_FUNC);
  if (id < 0) return fail(Code::kSystem, "the kernel has no " + name);
  return static_cast<uint32_t>(id);
}

Result<uint32_t> KernelTypes::find(const std::string& structure) const {
  int id = btf__find_by_name_kind(types_.get(), structure.c_str(), BTF_KIND_STRUCT);
  if (id < 0) return fail(Code::kSystem, "the kernel's types have no " + structure);
  return static_cast<uint32_t>(id);
}

Result<uint32_t> KernelTypes::size_of(const std::string& structure) const {
  return btf__type_by_id(types_.get(), TRY(find(structure)))->size;
}

Result<uint32_t> KernelTypes::offset_of(const std::string& structure,
                                        std::string_view member) const {
  const btf_type* owner = btf__type_by_id(types_.get(), TRY(find(structure)));
  uint32_t bits = 0;
  for (std::string_view left = member; !left.empty();) {
    const size_t end = std::min(left.find('.'), left.size());
    auto found = find_member(types_.get(), owner, left.substr(0, end));
    if (!found) return fail(Code::kSystem, structure + " has no " + std::string(member));
    bits += found->bits;
    owner = found->type;
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return bits / 8;
}

}  // namespace martlet::sys
