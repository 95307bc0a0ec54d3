#include "agent/declaration_check.h"

#include <gtest/gtest.h>

#include "sys/net_address.h"

namespace martlet::agent {
namespace {

Declaration good() {
  Declaration declaration;
  declaration.set_name("redis");
  declaration.set_overlay("/");
  declaration.add_args("redis-server");
  return declaration;
}

// The code of the refusal; fails the test if it is accepted.
Code refused(Declaration declaration) {
  const auto result = complete(declaration);
  EXPECT_FALSE(result) << declaration.ShortDebugString();
  return result ? Code::kSystem : result.error().code();
}

TEST(DeclarationCheck, ChoosesAMacOnce) {
  Declaration declaration = good();
  ASSERT_TRUE(complete(declaration));
  EXPECT_TRUE(declaration.mac().empty());  // no address, no link
  declaration.add_addresses("10.1.0.5/16");
  ASSERT_TRUE(complete(declaration));
  const std::string mac = declaration.mac();
  EXPECT_TRUE(sys::parse_mac(mac));
  ASSERT_TRUE(complete(declaration));
  EXPECT_EQ(declaration.mac(), mac);
}

TEST(DeclarationCheck, RefusesBadNames) {
  for (const char* name : {"", "a/b", "..", "-x", "a b", "a\n", "\xc3\xa4"})
    EXPECT_FALSE(check_name(name));
  EXPECT_FALSE(check_name(std::string(64, 'a')));
  for (const char* name : {"a", "web-1", "Web_1.x", "0"}) EXPECT_TRUE(check_name(name));
}

TEST(DeclarationCheck, RefusesWhatCannotWork) {
  Declaration declaration = good();
  declaration.clear_args();
  EXPECT_EQ(refused(declaration), Code::kInvalidArgument);
  declaration = good();
  declaration.clear_root();
  EXPECT_EQ(refused(declaration), Code::kInvalidArgument);
  declaration.set_rootfs("/no/such/directory");
  EXPECT_EQ(refused(declaration), Code::kNotFound);
  declaration.set_rootfs("relative");
  EXPECT_EQ(refused(declaration), Code::kInvalidArgument);
  declaration = good();
  declaration.add_env("NOVALUE");
  EXPECT_EQ(refused(declaration), Code::kInvalidArgument);
  declaration = good();
  declaration.set_memory_bytes(1000);
  EXPECT_EQ(refused(declaration), Code::kInvalidArgument);
  declaration = good();
  declaration.set_cpus(-1);
  EXPECT_EQ(refused(declaration), Code::kInvalidArgument);
}

TEST(DeclarationCheck, WantsAGatewayThatCanBeReached) {
  Declaration declaration = good();
  declaration.add_gateways("10.1.0.1");
  EXPECT_EQ(refused(declaration), Code::kInvalidArgument);
  declaration.add_addresses("10.1.0.5/16");
  EXPECT_TRUE(complete(declaration));
}

TEST(ParseSize, TakesPowersOf1024) {
  EXPECT_EQ(*parse_size("512"), 512u);
  EXPECT_EQ(*parse_size("64K"), 65536u);
  EXPECT_EQ(*parse_size("1G"), 1u << 30);
  EXPECT_EQ(*parse_size("2T"), 2ull << 40);
  for (const char* text :
       {"", "M", "1X", "1MB", "-1M", "1.5G", "99999999999999999999", "999999999999T"})
    EXPECT_FALSE(parse_size(text)) << text;
}

TEST(ParseVolume, TakesTwoAbsolutePaths) {
  EXPECT_EQ(parse_volume("/a:/b")->destination(), "/b");
  EXPECT_FALSE(parse_volume("/a:/b")->read_only());
  EXPECT_TRUE(parse_volume("/a:/b:ro")->read_only());
  for (const char* text : {"", "/a", "/a:", ":/b", "a:/b", "/a:b", "/a:/b:rw", "/a:/b:/c"})
    EXPECT_FALSE(parse_volume(text)) << text;
}

}  // namespace
}  // namespace martlet::agent
