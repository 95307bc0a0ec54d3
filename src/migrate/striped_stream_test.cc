// StripedWriter and StripedReader, over real TLS.
#include <gmock/gmock.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <future>
#include <random>

#include "migrate/sleep_clock.h"
#include "migrate/stripe_format.h"
#include "migrate/striped_reader.h"
#include "migrate/striped_writer.h"
#include "migrate/test_util.h"

namespace martlet::migrate {
namespace {

using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::HasSubstr;

using Bytes = std::vector<std::byte>;

Bytes random_bytes(size_t size, std::mt19937_64& random) {
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

Result<void> write_all(StripedWriter& writer, std::span<const std::byte> bytes) {
  const std::span<const std::byte> pieces[] = {bytes};
  return writer.write(pieces);
}

// In writes of random sizes, each of some pieces, with a flush now and then.
void write_randomly(StripedWriter& writer, std::span<const std::byte> bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  while (!bytes.empty()) {
    std::vector<std::span<const std::byte>> pieces;
    for (auto count = random() % 4; count > 0; --count) {
      const size_t longest = random() % 2 == 0 ? 2 * kMaxBlockBytes + 2 : 100;
      pieces.push_back(bytes.first(std::min<size_t>(bytes.size(), random() % longest)));
      bytes = bytes.subspan(pieces.back().size());
    }
    must(writer.write(pieces));
    if (random() % 8 == 0) must(writer.flush());
  }
  must(writer.flush());
}

Bytes read_randomly(StripedReader& reader, size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (size_t done = 0; done < size;) {
    const size_t most = 1 + random() % (2 * kMaxBlockBytes);
    auto got = reader.read(std::span(bytes).subspan(done, std::min(most, size - done)));
    if (!got) {
      ADD_FAILURE() << got.error().to_string();
      break;
    }
    done += *got;
  }
  return bytes;
}

class Striped : public ::testing::Test {
 protected:
  void connect(size_t count, WaitLimits limits = {}) {
    for (size_t stripe = 0; stripe < count; ++stripe) {
      auto pair = connect_pair(a_, b_, "host-b", limits);
      here_.push_back(std::move(pair.client));
      there_.push_back(std::move(pair.server));
      ends_.push_back(there_.back().get());
    }
  }
  void start_writer(RateLimiter* limiter = nullptr) { writer_.emplace(std::move(here_), limiter); }
  void start_reader(WaitLimits limits = {}) { reader_.emplace(std::move(there_), limits); }

  // What a writer never does, over connection `stripe`.
  void put_block(size_t stripe, BlockHeader header) {
    must(here_[stripe]->write(std::as_bytes(std::span(&header, 1))));
    must(here_[stripe]->write(Bytes(std::min<size_t>(header.length, 10))));
  }
  Error read_error() {
    Bytes buffer(10);
    for (;;) {
      auto got = reader_->read(buffer);
      if (!got) return got.error();
    }
  }

  Cancellation cancellation_ = must(Cancellation::create());
  SleepClock clock_;
  std::atomic<uint64_t> rate_{1'000'000};
  RateLimiter limiter_{clock_, rate_};
  TestAuthority authority_;
  TlsContext a_ = authority_.context_of("host-a");
  TlsContext b_ = authority_.context_of("host-b");
  std::vector<std::unique_ptr<TlsConnection>> here_;
  std::vector<std::unique_ptr<TlsConnection>> there_;
  std::vector<TlsConnection*> ends_;  // the other side of each connection, as long as it is there
  std::optional<StripedWriter> writer_;
  std::optional<StripedReader> reader_;
};

class StripedBy : public Striped, public ::testing::WithParamInterface<size_t> {};

TEST_P(StripedBy, ArrivesInOrder) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const Bytes sent = random_bytes((12 << 20) + random() % 1000, random);
  connect(GetParam());
  start_writer();
  start_reader();
  std::jthread writing([&] { write_randomly(*writer_, sent, seed); });
  EXPECT_TRUE(read_randomly(*reader_, sent.size(), seed) == sent);
}

INSTANTIATE_TEST_SUITE_P(Connections, StripedBy, ::testing::Values(1, 2, 4, 16));

TEST_F(Striped, ACutConnectionEndsBothSides) {
  connect(4);
  start_writer();
  start_reader();
  auto writing = std::async(std::launch::async, [&] {
    for (const Bytes piece(1 << 20);;) {
      auto written = write_all(*writer_, piece);
      if (!written) return written.error();
    }
  });
  (void)read_randomly(*reader_, 8 << 20, 1);
  ends_[2]->shutdown();
  const Error read = read_error();
  EXPECT_EQ(read.code(), Code::kPeerLost);
  EXPECT_THAT(read.to_string(), HasSubstr("connection 3 of 4 for the state: "));
  const Error written = writing.get();
  EXPECT_EQ(written.code(), Code::kPeerLost);
  EXPECT_THAT(written.to_string(), HasSubstr("connection 3 of 4 for the state: "));
  EXPECT_EQ(writer_->flush().error().code(), Code::kPeerLost);
  EXPECT_EQ(writer_->drain().error().code(), Code::kPeerLost);
}

TEST_F(Striped, AWriteToAPeerThatDoesNotReadEndsAtItsDeadline) {
  connect(2, {.timeout = 100ms});
  start_writer();
  const auto written = write_all(*writer_, Bytes(64 << 20));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::kTimeout);
  EXPECT_THAT(written.error().to_string(), HasSubstr(" of 2 for the state: "));
}

// As a roll-back finds it: one connection is lost, another one waits for a peer that does not read.
TEST_F(Striped, EndsWhileAConnectionWaits) {
  connect(2);
  const Bytes junk(64 << 10);
  while (::send(here_[0]->fd(), junk.data(), junk.size(), MSG_NOSIGNAL) > 0) continue;
  ends_[1]->shutdown();
  start_writer();
  EXPECT_EQ(write_all(*writer_, Bytes(64 << 20)).error().code(), Code::kPeerLost);
  writer_.reset();
}

TEST_F(Striped, DrainWaitsForEveryConnection) {
  connect(4);
  start_writer();
  for (int write = 0; write < 8; ++write) must(write_all(*writer_, Bytes(10'000)));
  must(writer_->drain());
  int arrived = 0;
  for (const TlsConnection* end : ends_) {
    int waiting = 0;
    ASSERT_EQ(::ioctl(end->fd(), FIONREAD, &waiting), 0);
    arrived += waiting;
  }
  EXPECT_GT(arrived, 80'000);
}

TEST_F(Striped, TheLimitHoldsForAllTogether) {
  connect(4);
  start_writer(&limiter_);
  start_reader();
  const Bytes sent(4'000'000);
  const Nanoseconds start = clock_.now();
  std::jthread writing([&] { must(write_all(*writer_, sent)); });
  (void)read_randomly(*reader_, sent.size(), 1);
  writing.join();
  EXPECT_NEAR(in_seconds(clock_.now() - start), 4, 0.1);
}

TEST_F(Striped, ACancelEndsAWaitForTheLimit) {
  clock_.on_sleep = [&] { cancellation_.cancel(); };
  connect(2, {.cancellation = &cancellation_});
  start_writer(&limiter_);
  EXPECT_EQ(write_all(*writer_, Bytes(1 << 20)).error().code(), Code::kCancelled);
}

TEST_F(Striped, AReadEndsAtItsDeadline) {
  connect(2);
  start_reader({.timeout = 50ms});
  EXPECT_EQ(read_error().code(), Code::kTimeout);
}

TEST_F(Striped, AReadIsCancelled) {
  connect(2);
  start_reader({.cancellation = &cancellation_});
  std::jthread canceller([&] { cancellation_.cancel(); });
  EXPECT_EQ(read_error().code(), Code::kCancelled);
}

TEST_F(Striped, RefusesAStreamWithAGap) {
  connect(2);
  put_block(0, {.number = 1, .length = 10});
  put_block(1, {.number = 2, .length = 10});
  start_reader();
  const Error error = read_error();
  EXPECT_EQ(error.code(), Code::kBadImage);
  EXPECT_THAT(error.to_string(), HasSubstr("block 0 of the state is missing"));
}

TEST_F(Striped, RefusesABlockThatComesTwice) {
  connect(2);
  put_block(0, {.number = 0, .length = 10});
  put_block(1, {.number = 0, .length = 10});
  start_reader();
  const Error error = read_error();
  EXPECT_EQ(error.code(), Code::kBadImage);
  EXPECT_THAT(error.to_string(), HasSubstr("block 0 of the state came twice"));
}

// Whether it is found as it comes or as it would be next depends on who is faster.
TEST_F(Striped, RefusesNumbersThatFall) {
  connect(2);
  put_block(0, {.number = 1, .length = 10});
  put_block(0, {.number = 1, .length = 10});
  put_block(1, {.number = 0, .length = 10});
  start_reader();
  const Error error = read_error();
  EXPECT_EQ(error.code(), Code::kBadImage);
  EXPECT_THAT(error.to_string(), AnyOf(HasSubstr("block 1 is out of order"),
                                       HasSubstr("block 1 of the state came twice")));
}

TEST_F(Striped, RefusesBadHeaders) {
  const BlockHeader bad[] = {{.number = 0, .length = 0},
                             {.number = 0, .length = kMaxBlockBytes + 1},
                             {.number = 0, .length = 10, .zero = 1}};
  for (const BlockHeader& header : bad) {
    connect(1);
    put_block(0, header);
    start_reader();
    EXPECT_EQ(read_error().code(), Code::kBadImage);
    reader_.reset();
    here_.clear();
    there_.clear();
  }
}

}  // namespace
}  // namespace martlet::migrate
