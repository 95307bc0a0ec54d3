// Feeds mutated record streams to the image decoder. Whatever comes in, it must answer with records
// or with an error: no crash, no endless loop, no allocation beyond the limits of the format.
//
// Half of the inputs are damaged as bytes, which the checksums find. The other half are damaged
// before they are sealed, so that the checksums are right and the parsers behind them see the
// damage.
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>
#include <random>
#include <vector>

#include "base/clock.h"
#include "image/byte_stream.h"
#include "image/compression.h"
#include "image/group.pb.h"
#include "image/ipc.pb.h"
#include "image/memory.pb.h"
#include "image/stream_format.h"

namespace martlet::image {
namespace {

constexpr double kSeconds = 10;

using Bytes = std::vector<std::byte>;
using Random = std::mt19937_64;

class MemoryWriter final : public ByteWriter {
 public:
  Result<void> write(std::span<const std::span<const std::byte>> pieces) override {
    for (auto piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
    return {};
  }
  Bytes bytes;
};

class MemoryReader final : public ByteReader {
 public:
  MemoryReader(std::span<const std::byte> bytes, size_t step) : bytes_(bytes), step_(step) {}
  Result<size_t> read(std::span<std::byte> buffer) override {
    size_t count = std::min({buffer.size(), bytes_.size(), step_});
    std::copy_n(bytes_.begin(), count, buffer.begin());
    bytes_ = bytes_.subspan(count);
    return count;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t step_;
};

struct Draft {
  RecordType type;
  Bytes head;
  Bytes body;
};

Draft draft_of(RecordType type, const google::protobuf::MessageLite& message) {
  Draft draft{.type = type, .head = Bytes(message.ByteSizeLong()), .body = {}};
  if (!message.SerializeToArray(draft.head.data(), static_cast<int>(draft.head.size())))
    std::abort();
  return draft;
}

Draft draft_of(const PageRun& run, size_t body_bytes) {
  auto head = std::as_bytes(std::span(&run, 1));
  return {
      .type = RecordType::kPages, .head = {head.begin(), head.end()}, .body = Bytes(body_bytes)};
}

// Keeps what a CompressingSink makes of a record.
class DraftSink final : public Sink {
 public:
  Result<void> put(RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) override {
    draft = {.type = type, .head = {head.begin(), head.end()}, .body = {body.begin(), body.end()}};
    return {};
  }
  Result<void> flush() override { return {}; }
  Draft draft{};
};

Draft compressed(const Draft& draft, Codec codec) {
  DraftSink kept;
  if (!CompressingSink(kept, codec).put(draft.type, draft.head, draft.body)) std::abort();
  if (kept.draft.type != RecordType::kCompressed) std::abort();
  return kept.draft;
}

std::vector<Draft> sound_stream() {
  Header header;
  header.set_version(kFormatVersion);
  header.set_kernel("6.18");
  Tree tree;
  auto* process = tree.add_processes();
  process->set_pid(1);
  process->add_threads()->set_name("main");
  process->add_descriptors()->set_fd(3);
  File file;
  file.set_id(1);
  file.mutable_pipe()->set_capacity(65536);
  AddressSpace space;
  space.set_process(1);
  space.add_mappings()->set_end(0x10000);
  Ipc ipc;
  ipc.add_semaphores()->add_values(7);
  Draft pages = draft_of({.owner = 1, .flags = 0, .address = 0x1000, .length = 8192}, 8192);
  for (size_t i = 0; i < 1000; ++i) pages.body[i] = static_cast<std::byte>(i * i);
  PageLane lane;
  lane.set_image_id(0x0123456789abcdef);
  lane.set_number(1);
  return {draft_of(RecordType::kHeader, header),
          draft_of(RecordType::kTree, tree),
          draft_of(RecordType::kFile, file),
          draft_of(RecordType::kAddressSpace, space),
          compressed(pages, Codec::kLz4),
          compressed(pages, Codec::kZstd),
          pages,
          draft_of(RecordType::kIpc, ipc),
          draft_of(RecordType::kPageLane, lane),
          {.type = RecordType::kEnd, .head = {}, .body = {}}};
}

void damage(Bytes& bytes, Random& random) {
  for (uint64_t times = 1 + random() % 4; times > 0; --times) {
    if (bytes.empty()) return;
    size_t at = random() % bytes.size();
    switch (random() % 5) {
      case 0: bytes[at] ^= static_cast<std::byte>(1 << random() % 8); break;
      case 1: bytes[at] = static_cast<std::byte>(random()); break;
      case 2: bytes.resize(at); break;
      case 3:
        bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(at), random() % 64, std::byte{0xff});
        break;
      default: {
        size_t length = std::min<size_t>(random() % 64, bytes.size() - at);
        Bytes copy(bytes.begin() + static_cast<ptrdiff_t>(at),
                   bytes.begin() + static_cast<ptrdiff_t>(at + length));
        bytes.insert(bytes.end(), copy.begin(), copy.end());
      }
    }
  }
}

Bytes seal(const std::vector<Draft>& drafts) {
  MemoryWriter writer;
  auto sink = make_sink(writer);
  for (const Draft& draft : drafts)
    if (!sink->put(draft.type, draft.head, draft.body)) std::abort();
  if (!sink->flush()) std::abort();
  return writer.bytes;
}

Bytes make_input(Random& random) {
  auto drafts = sound_stream();
  bool sealed = random() % 2 == 0;
  if (sealed) {
    Draft& victim = drafts[random() % drafts.size()];
    damage(random() % 2 == 0 ? victim.head : victim.body, random);
    if (random() % 8 == 0) victim.type = static_cast<RecordType>(random() % 20);
  }
  Bytes bytes = seal(drafts);
  if (!sealed) damage(bytes, random);
  return bytes;
}

Result<void> parse_record(const Record& record) {
  switch (record.type) {
    case RecordType::kHeader: TRY(parse_as<Header>(record)); break;
    case RecordType::kTree: TRY(parse_as<Tree>(record)); break;
    case RecordType::kSharedMemory: TRY(parse_as<SharedMemory>(record)); break;
    case RecordType::kFile: TRY(parse_as<File>(record)); break;
    case RecordType::kAddressSpace: TRY(parse_as<AddressSpace>(record)); break;
    case RecordType::kIpc: TRY(parse_as<Ipc>(record)); break;
    case RecordType::kPageLane: TRY(parse_as<PageLane>(record)); break;
    case RecordType::kPages:
    case RecordType::kZeroPages: TRY(parse_run(record)); break;
    default: break;
  }
  return {};
}

Result<void> decode(const Bytes& bytes, size_t step) {
  MemoryReader reader(bytes, step);
  auto source = make_source(reader);
  for (;;) {
    Record record = TRY(source->next());
    TRY(parse_record(record));
    if (record.type == RecordType::kEnd) return {};
  }
}

int run(uint64_t seed, uint64_t rounds) {
  google::protobuf::SetLogHandler(nullptr);  // it says of each input what is wrong with it
  fmt::print("image_fuzz: seed {}\n", seed);
  std::fflush(stdout);
  Random random(seed);
  SystemClock clock;
  Stopwatch watch(clock);
  uint64_t done = 0;
  uint64_t refused = 0;
  for (; rounds > 0 ? done < rounds : watch.seconds() < kSeconds; ++done) {
    Bytes input = make_input(random);
    if (!decode(input, 1 + random() % 8192)) ++refused;
  }
  fmt::print("image_fuzz: {} inputs, {} refused\n", done, refused);
  return refused > 0 ? 0 : 1;  // an input that is never refused means that nothing is tested
}

}  // namespace
}  // namespace martlet::image

int main(int argc, char** argv) {
  uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : std::random_device{}();
  uint64_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  return martlet::image::run(seed, rounds);
}
