// The stream of records that a container's state travels in, over a connection or in a file.
//
// A stream is a sequence of records, each with a checksum of its own. `Sink` and `Source` are the
// two ends; what is behind them (a file, a TLS connection, a buffer) is not visible to the engine.
// The byte format is in docs/image-format.md. One thread at a time uses a Sink or a Source.
#pragma once

#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace martlet::image {

inline constexpr uint32_t kFormatVersion = 5;

// Every record type. A number is never reused.
enum class RecordType : uint16_t {
  kHeader = 1,
  kTree = 2,
  kSharedMemory = 3,
  kFile = 4,
  kAddressSpace = 5,
  kPages = 6,      // head: PageRun, body: the pages
  kZeroPages = 7,  // head: PageRun, no body: pages that hold zeros
  kEndOfAddressSpace = 8,
  kIpc = 9,
  kTmpfs = 10,
  kEnd = 11,                // the stream is complete
  kFileContent = 13,        // head: FileContent, body: a piece of a file that has no name
  kPageLane = 14,           // head: PageLane: the first record of a stream that holds only pages
  kCompressed = 15,         // another record with its body compressed; a Source never returns it
  kRound = 16,              // memory that is sent ahead, while the group runs
  kMissingPages = 17,       // head: PageRun, no body: pages that come after the group runs again
  kGuardPages = 18,         // head: PageRun, no body: a guard region
  kMounts = 21,             // head: Mounts: what differs from the declared ones
  kCgroups = 35,            // head: Cgroups: those that the container has made
  kNetwork = 50,            // head: Network: of a container that may change it
  kAioContexts = 70,        // head: AioContexts: of a process whose address space came before
  kNetworkNamespaces = 90,  // head: NetworkNamespaces: those that its processes have made
};

// Where a run of pages belongs: `owner` is a process (pid inside the container) or, with
// kSharedMemoryOwner set, a SharedMemory object, and `address` its address or offset there.
struct PageRun {
  static constexpr uint32_t kSharedMemoryOwner = 1;
  uint32_t owner;
  uint32_t flags;
  uint64_t address;
  uint64_t length;  // bytes, a multiple of the page size
};
static_assert(sizeof(PageRun) == 24);

// One record as read: the body stays valid until the next call of Source::next.
struct Record {
  RecordType type;
  std::span<const std::byte> head;
  std::span<const std::byte> body;
};

inline constexpr size_t kMaxHeadBytes = 64u << 20;
inline constexpr size_t kMaxBodyBytes = 4u << 20;

class Sink {
 public:
  virtual ~Sink() = default;
  // Writes one record; head or body may be empty. Errors: kNoSpace, kPeerLost, kSystem.
  virtual Result<void> put(RecordType type, std::span<const std::byte> head,
                           std::span<const std::byte> body) = 0;
  // Everything put so far has left this process.
  virtual Result<void> flush() = 0;
};

class Source {
 public:
  virtual ~Source() = default;
  // The next record, checked against its checksum. Errors: kBadImage (damaged or truncated),
  // kPeerLost. After kEnd the caller stops.
  virtual Result<Record> next() = 0;
};

Result<void> put_message(Sink& sink, RecordType type, const google::protobuf::MessageLite& message);
Result<void> put_pages(Sink& sink, const PageRun& run, std::span<const std::byte> pages);
Result<void> put_zero_pages(Sink& sink, const PageRun& run);
Result<void> put_missing_pages(Sink& sink, const PageRun& run);
Result<void> put_guard_pages(Sink& sink, const PageRun& run);

// Parses the head of a record as a message; kBadImage if it is not one.
Result<void> parse(const Record& record, google::protobuf::MessageLite& message);
Result<PageRun> parse_run(const Record& record);

template <typename Message>
Result<Message> parse_as(const Record& record) {
  Message message;
  TRY(parse(record, message));
  return message;
}

// A stream in a file. The writer buffers; `flush` writes out. Files are created 0600.
std::unique_ptr<Sink> make_file_sink(int fd);
std::unique_ptr<Source> make_file_source(int fd);

}  // namespace martlet::image
