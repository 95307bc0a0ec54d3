#include "agent/agent_config.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/api.pb.h"
#include "agent/rpc_status.h"
#include "base/fd.h"

namespace martlet::agent {
namespace {

// The configuration read from a file with this text.
Result<AgentConfig> read(std::string_view text) {
  char path[] = "/tmp/martlet-config-XXXXXX";
  const Fd file(mkstemp(path));
  EXPECT_TRUE(write_full(file.get(), std::as_bytes(std::span(text))));
  AgentConfig config;
  const auto result = read_config_file(path, config);
  unlink(path);
  if (!result) return std::unexpected(result.error());
  return config;
}

TEST(AgentConfig, ReadsAFileOverTheDefaults) {
  const auto config = read("name = 'host-a'\nbridge = \"lan0\"\n");
  ASSERT_TRUE(config) << config.error().to_string();
  EXPECT_EQ(config->name, "host-a");
  EXPECT_EQ(config->bridge, "lan0");
  EXPECT_EQ(config->state_dir, "/var/lib/martlet");
}

TEST(AgentConfig, NamesWhatIsWrongInAFile) {
  EXPECT_NE(read("nmae = 'x'").error().to_string().find("nmae"), std::string::npos);
  EXPECT_NE(read("name = 3").error().to_string().find("not a string"), std::string::npos);
  EXPECT_NE(read("\nname =").error().to_string().find("line 2"), std::string::npos);
}

TEST(AgentConfig, CompletesAndChecks) {
  AgentConfig config;
  ASSERT_TRUE(complete(config));
  EXPECT_EQ(config.cgroup, "/martlet-" + config.name);
  config.listen = "7420";
  EXPECT_FALSE(complete(config));
  config = AgentConfig();
  config.name = "a/b";
  EXPECT_FALSE(complete(config));
  config = AgentConfig();
  config.cgroup = "/a/../b";
  EXPECT_FALSE(complete(config));
}

TEST(RpcStatus, CarriesAnErrorAcross) {
  const Error error =
      Error(Code::kNoSpace, "no room").with_context("container web").with_remedy("rm");
  const Error back = from_status(to_status(error), "peer");
  EXPECT_EQ(back.code(), Code::kNoSpace);
  EXPECT_EQ(back.to_string(), error.to_string());
  EXPECT_EQ(back.remedy(), "rm");
}

TEST(RpcStatus, SaysWhoCannotBeReached) {
  const Error error = from_status({grpc::StatusCode::UNAVAILABLE, "refused"}, "host-b");
  EXPECT_EQ(error.code(), Code::kPeerLost);
  EXPECT_NE(error.to_string().find("host-b"), std::string::npos);
}

}  // namespace
}  // namespace martlet::agent
