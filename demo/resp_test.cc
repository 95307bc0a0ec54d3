#include "demo/resp.h"

#include <gtest/gtest.h>

namespace martlet::demo {
namespace {

TEST(AppendRequest, WritesAnArrayOfBulkStrings) {
  std::string out;
  append_request(out, {"SET", "key", "v"});
  EXPECT_EQ(out, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1\r\nv\r\n");
}

TEST(ReplyParser, SplitsAStreamThatComesByteByByte) {
  const std::string stream = "+OK\r\n:42\r\n$4\r\na\r\nb\r\n$-1\r\n-ERR no\r\n";
  const std::vector<Reply> expected = {{Reply::Kind::kStatus, "OK", 0},
                                       {Reply::Kind::kInteger, "", 42},
                                       {Reply::Kind::kBulk, "a\r\nb", 0},
                                       {Reply::Kind::kNil, "", 0},
                                       {Reply::Kind::kError, "ERR no", 0}};
  ReplyParser parser;
  std::vector<Reply> replies;
  for (char byte : stream) {
    parser.feed({&byte, 1});
    auto reply = parser.next();
    ASSERT_TRUE(reply);
    if (*reply) replies.push_back(**reply);
  }
  EXPECT_EQ(replies, expected);
}

TEST(ReplyParser, RefusesWhatIsNoReply) {
  for (const char* bytes : {"hello\r\n", "\r\n", ":4x\r\n", "$x\r\n"}) {
    ReplyParser parser;
    parser.feed(bytes);
    EXPECT_FALSE(parser.next()) << bytes;
  }
}

}  // namespace
}  // namespace martlet::demo
