#include "agent/agent_config.h"

#include <fmt/format.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "agent/declaration_check.h"
#include "base/fd.h"

namespace martlet::agent {

Result<void> read_config_file(const std::string& path, AgentConfig& config) {
  const std::map<std::string, std::string*> fields{
      {"name", &config.name},           {"state_dir", &config.state_dir},
      {"socket", &config.socket},       {"listen", &config.listen},
      {"advertise", &config.advertise}, {"bridge", &config.bridge},
      {"uplink", &config.uplink},       {"cgroup", &config.cgroup},
      {"log_level", &config.log_level}, {"fault", &config.fault}};
  toml::table table;
  try {
    table = toml::parse(TRY(read_file(path)), path);
  } catch (const toml::parse_error& error) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("{}: line {}: {}", path, error.source().begin.line, error.description()));
  }
  for (const auto& [key, value] : table) {
    const auto field = fields.find(std::string(key.str()));
    if (field == fields.end())
      return fail(Code::kInvalidArgument, fmt::format("{}: unknown key '{}'", path, key.str()));
    if (!value.is_string())
      return fail(Code::kInvalidArgument, fmt::format("{}: '{}' is not a string", path, key.str()));
    *field->second = value.as_string()->get();
  }
  return {};
}

Result<void> complete(AgentConfig& config) {
  if (config.name.empty()) {
    char host_name[65] = "";
    if (gethostname(host_name, sizeof host_name - 1) != 0) return fail_errno("gethostname");
    config.name = host_name;
  }
  TRY_IN(check_name(config.name), "--name");
  for (std::string* path : {&config.state_dir, &config.socket})
    *path = std::filesystem::absolute(*path).lexically_normal();
  if (config.cgroup.empty()) config.cgroup = "/martlet-" + config.name;
  if (!config.cgroup.starts_with('/') || config.cgroup.find("..") != std::string::npos)
    return fail(Code::kInvalidArgument,
                fmt::format("--cgroup: '{}' is not absolute", config.cgroup));
  if (config.bridge.empty() || config.bridge.size() > 15)
    return fail(Code::kInvalidArgument, fmt::format("--bridge: '{}' is not a link", config.bridge));
  const size_t colon = config.listen.rfind(':');
  if (colon == std::string::npos || colon == 0)
    return std::unexpected(
        Error(Code::kInvalidArgument, fmt::format("--listen: '{}' has no port", config.listen))
            .with_remedy("write it like 0.0.0.0:7420"));
  return {};
}

}  // namespace martlet::agent
