#include "agent/oci_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace martlet::agent {
namespace {

using nlohmann::json;

const OciEnvironment kEnvironment{
    .cgroup = "/martlet-a/web",
    .private_directory = "/var/lib/martlet",
    .agent_capabilities = {"CAP_CHOWN", "CAP_SETUID", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}};

Container container() {
  Container made;
  Declaration& declaration = *made.record.mutable_declaration();
  declaration.set_name("web");
  declaration.set_overlay("/");
  declaration.add_args("nginx");
  declaration.add_env("A=1");
  made.paths.root = "/state/web/root";
  return made;
}

json config_of(const Container& made, FirstProcess first = FirstProcess::kDeclared) {
  const auto text = make_oci_config(made, kEnvironment, first);
  EXPECT_TRUE(text) << text.error().to_string();
  return json::parse(*text);
}

TEST(OciConfig, DeclaresEveryNamespaceButTime) {
  std::vector<std::string> types;
  const json config = config_of(container());
  for (const json& entry : config["linux"]["namespaces"]) types.push_back(entry["type"]);
  EXPECT_THAT(types,
              testing::UnorderedElementsAre("pid", "mount", "network", "ipc", "uts", "cgroup"));
}

TEST(OciConfig, GivesServersTheUsualCapabilitiesThatTheAgentHas) {
  const json sets = config_of(container())["process"]["capabilities"];
  EXPECT_EQ(sets["effective"], json({"CAP_CHOWN", "CAP_SETUID"}));
  EXPECT_FALSE(sets.contains("inheritable"));
}

TEST(OciConfig, GivesTheStubEverything) {
  const json process = config_of(container(), FirstProcess::kStub)["process"];
  EXPECT_EQ(process["args"], json({"/proc/self/fd/4"}));
  for (const char* set : {"bounding", "permitted", "effective", "inheritable"})
    EXPECT_EQ(process["capabilities"][set], json(kEnvironment.agent_capabilities)) << set;
  EXPECT_EQ(process["noNewPrivileges"], false);
  EXPECT_FALSE(process.contains("rlimits"));
}

TEST(OciConfig, LeavesFiltersToTheProcessesThatAStubBecomes) {
  Container made = container();
  made.record.mutable_declaration()->mutable_bundle()->set_config(
      R"({"root": {}, "process": {}, "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}})");
  EXPECT_TRUE(config_of(made)["linux"].contains("seccomp"));
  EXPECT_FALSE(config_of(made, FirstProcess::kStub)["linux"].contains("seccomp"));
}

TEST(OciConfig, SetsLimitsOnlyWhereTheyAreDeclared) {
  Container made = container();
  EXPECT_FALSE(config_of(made)["linux"]["resources"].contains("memory"));
  made.record.mutable_declaration()->set_memory_bytes(64 << 20);
  made.record.mutable_declaration()->set_cpus(1.5);
  const json resources = config_of(made)["linux"]["resources"];
  EXPECT_EQ(resources["memory"]["limit"], 64 << 20);
  EXPECT_EQ(resources["cpu"]["quota"], 150000);
  EXPECT_EQ(resources["cpu"]["period"], 100000);
}

TEST(OciConfig, HidesTheStateOfTheAgentFromAnOverlay) {
  EXPECT_THAT(config_of(container())["linux"]["maskedPaths"].get<std::vector<std::string>>(),
              testing::Contains("/var/lib/martlet"));
}

TEST(OciConfig, KeepsWhatABundleSaysAndWhatIsDeclaredWins) {
  Container made = container();
  Declaration& declaration = *made.record.mutable_declaration();
  declaration.clear_args();
  declaration.mutable_bundle()->set_config(R"({
    "root": {"path": "rootfs", "readonly": true}, "hooks": {"prestart": []},
    "process": {"args": ["own"], "terminal": true, "env": ["A=0", "B=2"], "user": {"uid": 33}},
    "linux": {"cgroupsPath": "/elsewhere", "namespaces": [{"type": "pid"}]}})");
  const json config = config_of(made);
  EXPECT_EQ(config["process"]["args"], json({"own"}));
  EXPECT_EQ(config["process"]["env"], json({"A=1", "B=2"}));
  EXPECT_EQ(config["process"]["user"]["uid"], 33);
  EXPECT_EQ(config["process"]["terminal"], false);
  EXPECT_EQ(config["root"]["readonly"], true);
  EXPECT_EQ(config["root"]["path"], "/state/web/root");
  EXPECT_EQ(config["linux"]["cgroupsPath"], "/martlet-a/web");
  EXPECT_EQ(config["linux"]["namespaces"].size(), 6u);
  EXPECT_FALSE(config.contains("hooks"));
}

TEST(OciConfig, RefusesABundleThatIsNone) {
  Container made = container();
  for (const char* text : {"", "{", "[]", "{}", R"({"root": 1, "process": {}})"}) {
    made.record.mutable_declaration()->mutable_bundle()->set_config(text);
    EXPECT_FALSE(make_oci_config(made, kEnvironment, FirstProcess::kDeclared)) << text;
  }
}

NetworkRights rights_with(const char* config) {
  Declaration declaration;
  declaration.mutable_bundle()->set_config(config);
  return network_rights(declaration);
}

TEST(NetworkRights, ComeFromABundleAlone) {
  const NetworkRights usual = network_rights(container().record.declaration());
  EXPECT_FALSE(usual.configuration);
  EXPECT_FALSE(usual.settings);
}

TEST(NetworkRights, AreThoseOfAnySetOfCapabilities) {
  const NetworkRights rights = rights_with(
      R"({"root": {}, "process": {"capabilities": {"ambient": ["CAP_NET_ADMIN"]}},
          "linux": {"readonlyPaths": ["/proc/sys"]}})");
  EXPECT_TRUE(rights.configuration);
  EXPECT_FALSE(rights.settings);
}

TEST(NetworkRights, IncludeSettingsThatAreNotMadeReadOnly) {
  EXPECT_TRUE(rights_with(R"({"root": {}, "process": {}})").settings);
  EXPECT_TRUE(rights_with(R"({"root": {}, "process": {"capabilities": {"bounding":
      ["CAP_SYS_ADMIN"]}}, "linux": {"readonlyPaths": ["/proc/sys"]}})")
                  .settings);
}

}  // namespace
}  // namespace martlet::agent
