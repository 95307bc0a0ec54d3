#include "engine/memory/vdso.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Reads a value at an offset of an untrusted image.
template <typename Value>
Result<Value> at(std::span<const std::byte> image, uint64_t offset) {
  if (offset > image.size() || sizeof(Value) > image.size() - offset)
    return fail(Code::kBadImage, "vDSO image is cut short");
  Value value;
  std::memcpy(&value, image.data() + offset, sizeof value);
  return value;
}

Result<std::string> string_at(std::span<const std::byte> image, uint64_t offset) {
  std::string text;
  for (;; ++offset) {
    char next = TRY(at<char>(image, offset));
    if (next == '\0') return text;
    text += next;
  }
}

struct DynamicTables {
  uint64_t symbols = 0;
  uint64_t strings = 0;
  uint64_t hash = 0;
};

Result<DynamicTables> find_tables(std::span<const std::byte> image) {
  auto header = TRY(at<Elf64_Ehdr>(image, 0));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return fail(Code::kBadImage, "vDSO image is not ELF");
  DynamicTables tables;
  uint64_t load_bias = 0;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    auto segment = TRY(at<Elf64_Phdr>(image, header.e_phoff + i * sizeof(Elf64_Phdr)));
    if (segment.p_type == PT_LOAD) load_bias = segment.p_vaddr - segment.p_offset;
    if (segment.p_type != PT_DYNAMIC) continue;
    for (uint64_t offset = segment.p_offset;; offset += sizeof(Elf64_Dyn)) {
      auto entry = TRY(at<Elf64_Dyn>(image, offset));
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_SYMTAB) tables.symbols = entry.d_un.d_ptr - load_bias;
      if (entry.d_tag == DT_STRTAB) tables.strings = entry.d_un.d_ptr - load_bias;
      if (entry.d_tag == DT_HASH) tables.hash = entry.d_un.d_ptr - load_bias;
    }
  }
  if (tables.symbols == 0 || tables.strings == 0)
    return fail(Code::kBadImage, "vDSO image has no symbols");
  return tables;
}

// The symbol table ends where the string table begins; that holds for every vDSO and needs no hash
// table, which newer kernels leave out or replace.
uint64_t symbol_count(const DynamicTables& tables) {
  return tables.strings > tables.symbols ? (tables.strings - tables.symbols) / sizeof(Elf64_Sym)
                                         : 0;
}

// movabs $target, %rax; jmp *%rax. Every vDSO function may clobber rax.
std::vector<std::byte> jump_to(uint64_t target) {
  std::vector<std::byte> code = {std::byte{0x48}, std::byte{0xb8}};
  code.resize(10);
  std::memcpy(code.data() + 2, &target, sizeof target);
  code.push_back(std::byte{0xff});
  code.push_back(std::byte{0xe0});
  return code;
}

}  // namespace

Result<std::vector<VdsoFunction>> vdso_functions(std::span<const std::byte> image) {
  DynamicTables tables = TRY(find_tables(image));
  std::vector<VdsoFunction> functions;
  for (uint64_t i = 0; i < symbol_count(tables); ++i) {
    auto symbol = TRY(at<Elf64_Sym>(image, tables.symbols + i * sizeof(Elf64_Sym)));
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
    functions.push_back({TRY(string_at(image, tables.strings + symbol.st_name)), symbol.st_value});
  }
  return functions;
}

Result<std::vector<std::byte>> redirect_vdso(std::span<const std::byte> source,
                                             std::span<const std::byte> local,
                                             uint64_t local_address) {
  auto theirs = TRY(vdso_functions(source));
  auto ours = TRY(vdso_functions(local));
  std::vector<std::byte> image(source.begin(), source.end());
  for (const VdsoFunction& function : theirs) {
    auto match = std::ranges::find(ours, function.name, &VdsoFunction::name);
    if (match == ours.end())
      return fail(Code::kUnsupported, "this kernel's vDSO has no function " + function.name);
    auto jump = jump_to(local_address + match->offset);
    if (function.offset > image.size() || jump.size() > image.size() - function.offset)
      return fail(Code::kBadImage, "vDSO function outside of its image");
    std::ranges::copy(jump, image.begin() + static_cast<ptrdiff_t>(function.offset));
  }
  return image;
}

Result<std::vector<std::byte>> local_vdso() {
  for (const sys::Vma& vma : TRY(sys::read_maps(HostPid(::getpid())))) {
    if (vma.path != "[vdso]") continue;
    const auto* begin = reinterpret_cast<const std::byte*>(vma.start);
    return std::vector<std::byte>(begin, begin + vma.size());
  }
  return fail(Code::kUnsupported, "this host has no vDSO");
}

}  // namespace martlet::engine
