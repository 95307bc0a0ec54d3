#include "sys/mapping_flags.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <sstream>
#include <utility>

#include "sys/kernel_types.h"
#include "sys/userfaultfd.h"

namespace martlet::sys {
namespace {

struct Offsets {
  int16_t start, end, flags;  // in struct vm_area_struct, in bytes
};

Result<Offsets> find_offsets(const KernelTypes& types) {
  Offsets found{};
  for (auto [name, into] : {std::pair("vm_start", &found.start), std::pair("vm_end", &found.end),
                            std::pair("vm_flags", &found.flags)})
    *into = static_cast<int16_t>(TRY(types.offset_of("vm_area_struct", name)));
  return found;
}

constexpr bpf_insn load(uint8_t into, uint8_t from, int16_t offset) {
  return {BPF_LDX | BPF_MEM | BPF_DW, into, from, offset, 0};
}
constexpr bpf_insn store(int16_t on_stack, uint8_t from) {
  return {BPF_STX | BPF_MEM | BPF_DW, BPF_REG_10, from, on_stack, 0};
}
constexpr bpf_insn copy(uint8_t into, uint8_t from) {
  return {BPF_ALU64 | BPF_MOV | BPF_X, into, from, 0, 0};
}
constexpr bpf_insn set(uint8_t into, int32_t value) {
  return {BPF_ALU64 | BPF_MOV | BPF_K, into, 0, 0, value};
}

// The kernel lets only programs under a licence that is compatible with its own read its
// structures, so these instructions alone may also be used under GPL-2.0.
constexpr const char* kProgramLicence = "Dual MIT/GPL";

// Called with {meta, task, vma} for each mapping and once with no mapping at the end: puts the
// mapping's start, end and flags into the sequence file that is meta's first member.
auto instructions(const Offsets& offset) {
  constexpr int32_t kRecordBytes = 24;
  return std::array<bpf_insn, 14>{
      load(BPF_REG_6, BPF_REG_1, 16),  // vma
      bpf_insn{BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_6, 0, 12, 0},
      load(BPF_REG_7, BPF_REG_1, 0),  // meta
      load(BPF_REG_1, BPF_REG_7, 0),  // its sequence file
      load(BPF_REG_2, BPF_REG_6, offset.start),
      store(-24, BPF_REG_2),
      load(BPF_REG_2, BPF_REG_6, offset.end),
      store(-16, BPF_REG_2),
      load(BPF_REG_2, BPF_REG_6, offset.flags),
      store(-8, BPF_REG_2),
      copy(BPF_REG_2, BPF_REG_10),
      bpf_insn{BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -kRecordBytes},
      set(BPF_REG_3, kRecordBytes),
      bpf_insn{BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_seq_write},
  };
}

Result<Fd> load_program() {
  const auto types = TRY(KernelTypes::load());
  const uint32_t entry = TRY(types.function("bpf_iter_task_vma"));
  auto body = instructions(TRY(find_offsets(types)));
  std::vector<bpf_insn> program(body.begin(), body.end());
  program.push_back(set(BPF_REG_0, 0));
  program.push_back({BPF_JMP | BPF_EXIT, 0, 0, 0, 0});
  bpf_prog_load_opts options{};
  options.sz = sizeof options;
  options.expected_attach_type = BPF_TRACE_ITER;
  options.attach_btf_id = entry;
  int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "mapping_flags", kProgramLicence, program.data(),
                         program.size(), &options);
  if (fd < 0) return fail_errno("load the BPF program that reads mappings");
  return Fd(fd);
}

// A mapping of this process, to learn from.
class Specimen {
 public:
  Specimen(int protection, int flags, int fd = -1)
      : start_(::mmap(nullptr, kPageSize, protection, flags, fd, 0)) {}
  ~Specimen() {
    if (exists()) ::munmap(start_, kPageSize);
  }
  Specimen(Specimen&& other) noexcept : start_(std::exchange(other.start_, MAP_FAILED)) {}
  Specimen& operator=(Specimen&& other) noexcept {
    std::swap(start_, other.start_);
    return *this;
  }
  Specimen(const Specimen&) = delete;

  bool exists() const { return start_ != MAP_FAILED; }
  void* get() const { return start_; }
  Range range() const {
    auto start = reinterpret_cast<uint64_t>(start_);
    return {start, start + kPageSize};
  }

 private:
  void* start_;
};

// One of each kind that this kernel has and this process may make: what fails to be made is not
// learnt. `tracker` must live as long as they do.
std::vector<Specimen> make_specimens(std::optional<Userfaultfd>& tracker) {
  constexpr int kReadWrite = PROT_READ | PROT_WRITE;
  constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
  constexpr int kShared = MAP_SHARED | MAP_ANONYMOUS;
  std::vector<Specimen> made;
  for (int advice : {MADV_NORMAL, MADV_SEQUENTIAL, MADV_RANDOM, MADV_DONTFORK, MADV_DONTDUMP,
                     MADV_WIPEONFORK, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE}) {
    made.emplace_back(kReadWrite, kPrivate);
    ::madvise(made.back().get(), kPageSize, advice);
  }
  for (int protection : {PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC, kReadWrite}) {
    made.emplace_back(protection, kPrivate);
    made.emplace_back(protection, kShared);
  }
  made.emplace_back(kReadWrite, kPrivate | MAP_NORESERVE);
  made.emplace_back(kReadWrite, kPrivate | MAP_GROWSDOWN);
  made.emplace_back(kReadWrite, kPrivate);
  ::mlock(made.back().get(), kPageSize);
  if (auto own = open_file("/proc/self/exe", O_RDONLY))
    made.emplace_back(PROT_READ, MAP_SHARED, own->get());
  made.emplace_back(kReadWrite, kPrivate);
  Fd fd(
      static_cast<int>(::syscall(SYS_userfaultfd, userfaultfd_flags(UserfaultScope::kUserFaults))));
  if (auto tracking = Userfaultfd::for_write_tracking(std::move(fd)))
    if (tracking->track_writes(made.back().range())) tracker = std::move(*tracking);
  std::erase_if(made, [](const Specimen& one) { return !one.exists(); });
  return made;
}

template <typename Mapping>
const Mapping* find_at(const std::vector<Mapping>& mappings, uint64_t address) {
  auto found = std::ranges::find_if(
      mappings, [&](const auto& one) { return one.start <= address && address < one.end; });
  return found == mappings.end() ? nullptr : &*found;
}

}  // namespace

FlagMeanings FlagMeanings::learn(const std::vector<Example>& examples) {
  // In which examples something occurs -> the bits and the flags that occur in just those.
  std::map<std::vector<bool>, Meaning> by_occurrence;
  auto occurrence = [&](auto&& has) {
    std::vector<bool> where;
    for (const Example& example : examples) where.push_back(has(example));
    return where;
  };
  for (int bit = 0; bit < 64; ++bit)
    by_occurrence[occurrence([&](const Example& one) { return (one.bits >> bit & 1) != 0; })]
        .bits |= 1ull << bit;
  std::set<std::string> flags;
  for (const Example& example : examples) {
    std::istringstream words(example.flags);
    flags.insert(std::istream_iterator<std::string>(words), {});
  }
  for (const std::string& flag : flags)
    by_occurrence[occurrence([&](const Example& one) {
      return one.flags.find(flag) != std::string::npos;
    })].flags += flag + " ";
  FlagMeanings learnt;
  by_occurrence.erase(std::vector<bool>(examples.size(), false));
  for (auto& [where, meaning] : by_occurrence) {
    meaning.always = std::ranges::find(where, false) == where.end();
    learnt.meanings_.push_back(std::move(meaning));
  }
  return learnt;
}

std::optional<std::string> FlagMeanings::spell(uint64_t bits) const {
  std::string flags;
  for (const Meaning& meaning : meanings_) {
    uint64_t set = bits & meaning.bits;
    if (set != meaning.bits && (set != 0 || meaning.always)) return std::nullopt;
    if (set != 0) flags += meaning.flags;
    bits &= ~meaning.bits;
  }
  if (bits != 0) return std::nullopt;
  return flags;
}

Result<MappingFlags> MappingFlags::load() {
  MappingFlags loaded(TRY(load_program()));
  TRY(loaded.learn());
  return loaded;
}

const Result<MappingFlags>& MappingFlags::shared() {
  static const Result<MappingFlags> one = load();
  return one;
}

Result<std::vector<MappingFlags::Word>> MappingFlags::words(HostPid pid) const {
  // Asked by `tid` it would begin again wherever a read ends.
  bpf_iter_link_info which{};
  which.task.pid = static_cast<uint32_t>(pid.value);
  bpf_link_create_opts options{};
  options.sz = sizeof options;
  options.iter_info = &which;
  options.iter_info_len = sizeof which;
  Fd link(bpf_link_create(program_.get(), 0, BPF_TRACE_ITER, &options));
  if (!link.valid()) return fail_errno("attach the iterator of mappings");
  Fd iterator(bpf_iter_create(link.get()));
  if (!iterator.valid()) return fail_errno("begin the iterator of mappings");
  std::vector<Word> words;
  std::array<Word, 1024> some;
  for (;;) {
    ssize_t got = ::read(iterator.get(), some.data(), sizeof some);
    if (got < 0) return fail_errno("read the iterator of mappings");
    if (got == 0) return words;
    if (got % sizeof(Word) != 0)
      return fail(Code::kSystem, "the iterator of mappings gave half a record");
    for (const Word& word : std::span(some).first(static_cast<size_t>(got) / sizeof(Word))) {
      if (!words.empty() && word.start < words.back().end)
        return fail(Code::kSystem, "the iterator of mappings goes back");
      words.push_back(word);
    }
  }
}

Result<void> MappingFlags::learn() {
  std::optional<Userfaultfd> tracker;
  auto specimens = make_specimens(tracker);
  HostPid self(::getpid());
  auto bits = TRY(words(self));
  auto printed = TRY(read_smaps(self));
  std::vector<uint64_t> addresses;
  for (const Specimen& specimen : specimens) addresses.push_back(specimen.range().start);
  for (const Vma& vma : printed)
    if (vma.path == "[vdso]" || vma.path == "[vvar]" || vma.path == "[vvar_vclock]" ||
        vma.path == "[stack]")
      addresses.push_back(vma.start);
  std::vector<FlagMeanings::Example> examples;
  for (uint64_t address : addresses) {
    const Word* word = find_at(bits, address);
    const Vma* vma = find_at(printed, address);
    if (word == nullptr || vma == nullptr)
      return fail(Code::kSystem, "the iterator of mappings misses one of this process");
    examples.push_back({word->bits, vma->flags});
  }
  meanings_ = FlagMeanings::learn(examples);
  return {};
}

Result<std::vector<Vma>> MappingFlags::read(HostPid pid) const {
  auto vmas = TRY(read_maps(pid));
  auto flags = TRY(words(pid));
  auto word = flags.begin();
  for (Vma& vma : vmas) {
    if (vma.path == "[vsyscall]") continue;  // of the kernel, and no mapping of the process
    bool same = word != flags.end() && word->start == vma.start && word->end == vma.end;
    auto spelled = same ? meanings_.spell(word->bits) : std::nullopt;
    if (!spelled) return fail(Code::kUnsupported, "a mapping's flags have no known meaning");
    vma.flags = std::move(*spelled);
    ++word;
  }
  return vmas;
}

Result<std::vector<Vma>> read_mappings(HostPid pid) {
  if (const auto& reader = MappingFlags::shared())
    if (auto vmas = reader->read(pid)) return vmas;
  return read_smaps(pid);
}

}  // namespace martlet::sys
