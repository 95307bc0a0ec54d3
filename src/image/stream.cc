#include "image/stream.h"

#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/ids.h"
#include "image/byte_stream.h"
#include "image/compression.h"
#include "image/stream_format.h"
#include "image/stream_input.h"

namespace martlet::image {

namespace {

// Records below this size are gathered; a body of at least this size is written from where it is.
constexpr size_t kDirectBytes = 32u << 10;
constexpr size_t kGatherBytes = 256u << 10;

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

class RecordSink final : public Sink {
 public:
  explicit RecordSink(ByteWriter& writer) : writer_(writer) { gathered_.reserve(kGatherBytes); }

  Result<void> put(RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) override {
    if (head.size() > kMaxHeadBytes || body.size() > kMaxBodyBytes)
      return fail(Code::kUnsupported, "an object of " + std::to_string(head.size() + body.size()) +
                                          " bytes does not fit into one record");
    RecordHeader header = make_record_header(type, sequence_++, head, body);
    gather(bytes_of(header));
    if (head.size() + body.size() < kDirectBytes) {
      gather(head);
      gather(body);
      return gathered_.size() + 2 * kDirectBytes > kGatherBytes ? write_gathered() : Result<void>{};
    }
    const std::span<const std::byte> pieces[] = {gathered_, head, body};
    auto written = writer_.write(pieces);
    gathered_.clear();
    return written;
  }

  Result<void> flush() override {
    TRY(write_gathered());
    return writer_.flush();
  }

 private:
  Result<void> write_gathered() {
    if (gathered_.empty()) return {};
    const std::span<const std::byte> pieces[] = {gathered_};
    auto written = writer_.write(pieces);
    gathered_.clear();
    return written;
  }

  void gather(std::span<const std::byte> bytes) {
    gathered_.insert(gathered_.end(), bytes.begin(), bytes.end());
  }

  ByteWriter& writer_;
  std::vector<std::byte> gathered_;
  uint64_t sequence_ = 0;
};

class RecordSource final : public Source {
 public:
  explicit RecordSource(std::unique_ptr<StreamInput> input) : input_(std::move(input)) {}

  Result<Record> next() override {
    auto header_bytes = TRY(input_->take(sizeof(RecordHeader)));
    if (header_bytes.empty() && position_.record == 0) return position_.bad("the image is empty");
    if (header_bytes.empty()) return position_.bad("truncated: the end of the image is missing");
    RecordHeader header = TRY(decode_record_header(header_bytes, position_));
    auto payload = TRY(input_->take(size_t{header.head_length} + header.body_length));
    Record record = TRY(decode_record(header, payload, position_));
    if (record.type == RecordType::kCompressed) record = TRY(expand(record));
    position_.record++;
    position_.offset += sizeof header + payload.size();
    return record;
  }

 private:
  Result<Record> expand(const Record& record) {
    auto expanded = expander_.expand(record);
    if (!expanded) return position_.bad(expanded.error().cause());
    return expanded;
  }

  std::unique_ptr<StreamInput> input_;
  StreamPosition position_;
  Expander expander_;
};

}  // namespace

std::unique_ptr<Sink> make_sink(ByteWriter& writer) {
  return std::make_unique<RecordSink>(writer);
}

std::unique_ptr<Source> make_source(ByteReader& reader) {
  return std::make_unique<RecordSource>(make_buffered_input(reader));
}

std::unique_ptr<Source> make_source(std::unique_ptr<StreamInput> input) {
  return std::make_unique<RecordSource>(std::move(input));
}

Result<void> put_message(Sink& sink, RecordType type,
                         const google::protobuf::MessageLite& message) {
  // Serialising a message beyond 2 GiB is undefined in protobuf; put() refuses what is too large.
  size_t size = message.ByteSizeLong();
  if (size > kMaxHeadBytes)
    return fail(Code::kUnsupported, message.GetTypeName() + " of " + std::to_string(size) +
                                        " bytes does not fit into one record");
  std::vector<std::byte> head(size);
  CHECK(message.SerializeToArray(head.data(), static_cast<int>(size)));
  return sink.put(type, head, {});
}

Result<void> put_pages(Sink& sink, const PageRun& run, std::span<const std::byte> pages) {
  CHECK(run.length == pages.size());
  return sink.put(RecordType::kPages, bytes_of(run), pages);
}

Result<void> put_zero_pages(Sink& sink, const PageRun& run) {
  return sink.put(RecordType::kZeroPages, bytes_of(run), {});
}

Result<void> put_missing_pages(Sink& sink, const PageRun& run) {
  return sink.put(RecordType::kMissingPages, bytes_of(run), {});
}

Result<void> put_guard_pages(Sink& sink, const PageRun& run) {
  return sink.put(RecordType::kGuardPages, bytes_of(run), {});
}

Result<void> parse(const Record& record, google::protobuf::MessageLite& message) {
  if (message.ParseFromArray(record.head.data(), static_cast<int>(record.head.size()))) return {};
  return fail(Code::kBadImage, "a record of type " +
                                   std::to_string(static_cast<uint16_t>(record.type)) +
                                   " holds no " + message.GetTypeName());
}

Result<PageRun> parse_run(const Record& record) {
  PageRun run;
  if (record.head.size() != sizeof run) return fail(Code::kBadImage, "a page run of wrong size");
  std::memcpy(&run, record.head.data(), sizeof run);
  bool aligned = run.address % kPageSize == 0 && run.length % kPageSize == 0;
  bool fits = run.length > 0 && run.length <= std::numeric_limits<uint64_t>::max() - run.address;
  bool known_flags = (run.flags & ~PageRun::kSharedMemoryOwner) == 0;
  if (!aligned || !fits || !known_flags)
    return fail(Code::kBadImage, "a page run at an impossible place");
  if (record.type == RecordType::kPages ? run.length != record.body.size() : !record.body.empty())
    return fail(Code::kBadImage, "a page run whose length is not that of its pages");
  return run;
}

}  // namespace martlet::image
