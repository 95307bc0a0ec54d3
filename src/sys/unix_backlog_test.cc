#include "sys/unix_backlog.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "sys/descriptor_passing.h"
#include "sys/socket_address.h"

namespace martlet::sys {
namespace {

const std::string kAnyName("\1\0", 2);  // AF_UNIX, and the kernel chooses

class UnixBacklogTest : public ::testing::Test {
 protected:
  explicit UnixBacklogTest(int type = SOCK_STREAM) : type_(type), listener_(open()) {
    EXPECT_TRUE(bind_address(listener_.get(), kAnyName));
    EXPECT_EQ(::listen(listener_.get(), 10), 0);
  }

  Fd open() const { return Fd(::socket(AF_UNIX, type_ | SOCK_CLOEXEC, 0)); }

  Fd connect() const {
    Fd client = open();
    EXPECT_TRUE(connect_address(client.get(), *local_address(listener_.get())));
    return client;
  }

  std::vector<WaitingConnection> read() const {
    const auto& reader = UnixBacklog::shared();
    EXPECT_TRUE(reader) << reader.error().to_string();
    auto waiting = reader->read(listener_.get(), *UnixBacklog::own_pid_namespace(), {});
    EXPECT_TRUE(waiting) << waiting.error().to_string();
    return waiting ? std::move(*waiting) : std::vector<WaitingConnection>{};
  }

  int type_;
  Fd listener_;
};

std::string pattern(size_t bytes) {
  std::string data;
  for (size_t i = 0; data.size() < bytes; ++i) data += std::to_string(i) + " ";
  data.resize(bytes);
  return data;
}

void send(const Fd& client, const std::string& data) {
  EXPECT_EQ(::send(client.get(), data.data(), data.size(), MSG_DONTWAIT),
            static_cast<ssize_t>(data.size()));
}

TEST_F(UnixBacklogTest, IsEmptyWhereNobodyWaits) {
  EXPECT_TRUE(read().empty());
}

TEST_F(UnixBacklogTest, IsReadInItsOrderAndStays) {
  Fd first = connect();
  Fd second = connect();
  send(second, "hello");
  for (int again = 0; again < 2; ++again) {
    auto waiting = read();
    ASSERT_EQ(waiting.size(), 2u);
    EXPECT_TRUE(waiting[0].received.empty());
    ASSERT_EQ(waiting[1].received.size(), 1u);
    EXPECT_EQ(waiting[1].received[0].data, "hello");
    EXPECT_EQ(waiting[1].received[0].credentials->pid, ::getpid());
    EXPECT_NE(waiting[0].client_inode, waiting[1].client_inode);
  }
}

TEST_F(UnixBacklogTest, TellsOfClientsThatHaveClosedOrShutDown) {
  Fd first = connect();
  send(first, "bye");
  first.reset();
  Fd second = connect();
  ::shutdown(second.get(), SHUT_WR);
  auto waiting = read();
  ASSERT_EQ(waiting.size(), 2u);
  EXPECT_EQ(waiting[0].client_inode, 0u);
  EXPECT_EQ(waiting[0].received.at(0).data, "bye");
  EXPECT_NE(waiting[1].client_inode, 0u);
}

TEST_F(UnixBacklogTest, TellsTheNamesOfClients) {
  Fd client = open();
  ASSERT_TRUE(bind_address(client.get(), kAnyName));
  ASSERT_TRUE(connect_address(client.get(), *local_address(listener_.get())));
  auto waiting = read();
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].client_name, *local_address(client.get()));
}

TEST_F(UnixBacklogTest, TellsBytesOfAnyLength) {
  Fd client = connect();
  std::string sent;
  for (size_t bytes : {1, 3000, 4096, 20000, 40000, 60000}) {
    send(client, pattern(bytes));
    sent += pattern(bytes);
  }
  std::string seen;
  const auto waiting = read();
  for (const auto& message : waiting.at(0).received) seen += message.data;
  EXPECT_EQ(seen, sent);
}

TEST_F(UnixBacklogTest, FindsDescriptorsAmongTheOpenOnes) {
  Fd client = connect();
  const std::array passed = {client.get()};
  const std::string text = "here";
  ASSERT_TRUE(send_descriptors(client, std::as_bytes(std::span(text)), passed));
  const auto& reader = UnixBacklog::shared();
  auto waiting = reader->read(listener_.get(), 0, std::array{listener_.get(), client.get()});
  ASSERT_TRUE(waiting) << waiting.error().to_string();
  EXPECT_EQ(waiting->at(0).client.pid, 0);
  ASSERT_EQ(waiting->at(0).received.at(0).descriptors.size(), 1u);
  struct stat sent{};
  struct stat found{};
  ASSERT_EQ(::fstat(client.get(), &sent), 0);
  ASSERT_EQ(::fstat(waiting->at(0).received[0].descriptors[0].get(), &found), 0);
  EXPECT_EQ(found.st_ino, sent.st_ino);
  waiting = reader->read(listener_.get(), 0, {});
  ASSERT_FALSE(waiting);
  EXPECT_EQ(waiting.error().code(), Code::kUnsupported);
}

TEST_F(UnixBacklogTest, RefusesAnUrgentByte) {
  Fd client = connect();
  ASSERT_EQ(::send(client.get(), "!", 1, MSG_OOB), 1);
  auto waiting = UnixBacklog::shared()->read(listener_.get(), 0, {});
  ASSERT_FALSE(waiting);
  EXPECT_EQ(waiting.error().code(), Code::kUnsupported);
}

class UnixPacketBacklogTest : public UnixBacklogTest {
 protected:
  UnixPacketBacklogTest() : UnixBacklogTest(SOCK_SEQPACKET) {}
};

TEST_F(UnixPacketBacklogTest, KeepsMessagesApart) {
  Fd client = connect();
  for (size_t bytes : {3, 0, 20000}) send(client, pattern(bytes));
  auto waiting = read();
  ASSERT_EQ(waiting.at(0).received.size(), 3u);
  EXPECT_EQ(waiting[0].received[0].data, pattern(3));
  EXPECT_EQ(waiting[0].received[1].data, "");
  EXPECT_EQ(waiting[0].received[2].data, pattern(20000));
}

}  // namespace
}  // namespace martlet::sys
