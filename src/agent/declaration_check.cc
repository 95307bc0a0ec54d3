#include "agent/declaration_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "base/fd.h"
#include "sys/net_address.h"

namespace martlet::agent {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> invalid(std::string cause, std::string remedy) {
  return std::unexpected(
      Error(Code::kInvalidArgument, std::move(cause)).with_remedy(std::move(remedy)));
}

Result<void> check_directory(const std::string& path, std::string_view option) {
  std::error_code error;
  if (!path.starts_with('/'))
    return invalid(fmt::format("{}: '{}' is not an absolute path", option, path),
                   "begin the path with '/'");
  if (!fs::is_directory(path, error))
    return fail(Code::kNotFound, fmt::format("{}: no directory '{}'", option, path));
  return {};
}

Result<void> complete_bundle(Declaration::Bundle& bundle) {
  if (!bundle.config().empty()) return {};  // it came with the container from another host
  TRY(check_directory(bundle.path(), "--bundle"));
  bundle.set_config(TRY_IN(read_file(bundle.path() + "/config.json"), "--bundle"));
  return {};
}

Result<void> check_root(Declaration& declaration) {
  switch (declaration.root_case()) {
    case Declaration::kOverlay: return check_directory(declaration.overlay(), "--overlay");
    case Declaration::kRootfs: return check_directory(declaration.rootfs(), "--rootfs");
    case Declaration::kBundle: return complete_bundle(*declaration.mutable_bundle());
    case Declaration::ROOT_NOT_SET: break;
  }
  return invalid("no root file system is given", "add --overlay /, --rootfs DIR or --bundle DIR");
}

Result<void> check_network(Declaration& declaration) {
  std::vector<sys::IpPrefix> addresses;
  for (std::string& text : *declaration.mutable_addresses()) {
    addresses.push_back(TRY_IN(sys::parse_prefix(text), "--ip"));
    text = sys::to_string(addresses.back());
  }
  for (const std::string& text : declaration.gateways()) {
    const sys::IpAddress gateway = TRY_IN(sys::parse_ip(text), "--gateway");
    const bool reachable = std::ranges::any_of(
        addresses, [&](const sys::IpPrefix& prefix) { return prefix.contains(gateway); });
    if (!reachable)
      return invalid(
          fmt::format("--gateway: {} is in no network of the container's addresses", text),
          "give an --ip whose network contains it");
  }
  if (!declaration.mac().empty())
    TRY_IN(sys::parse_mac(declaration.mac()), "--mac");
  else if (!addresses.empty())
    declaration.set_mac(sys::to_string(TRY(sys::random_mac())));
  return {};
}

Result<void> check_process(const Declaration& declaration) {
  if (declaration.args().empty() && !declaration.has_bundle())
    return invalid("no command is given", "add the command after --");
  for (const std::string& variable : declaration.env())
    if (variable.find('=') == std::string::npos || variable.starts_with('='))
      return invalid(fmt::format("--env: '{}' is not KEY=VALUE", variable),
                     "write --env KEY=VALUE");
  if (!declaration.working_directory().empty() && !declaration.working_directory().starts_with('/'))
    return invalid(fmt::format("--workdir: '{}' is not absolute", declaration.working_directory()),
                   "begin the path with '/'");
  return {};
}

Result<void> check_limits(const Declaration& declaration) {
  constexpr uint64_t kLeastMemory = 4 << 20;  // runc's init does not fit into less
  if (declaration.memory_bytes() > 0 && declaration.memory_bytes() < kLeastMemory)
    return invalid("--memory: a container needs at least 4M", "give more memory");
  const double cpus = declaration.cpus();
  if (!std::isfinite(cpus) || cpus < 0 || (cpus > 0 && cpus < 0.01))
    return invalid(fmt::format("--cpus: {} is not a number of CPUs", cpus), "give 0.01 or more");
  return {};
}

}  // namespace

Result<void> check_name(const std::string& name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  if (!name.empty() && name.size() <= 63 && std::ranges::all_of(name, good) &&
      std::string_view("_.-").find(name[0]) == std::string_view::npos)
    return {};
  return invalid(fmt::format("'{}' is not a name", name),
                 "use up to 63 letters, digits, '_', '.', '-', with a letter or digit first");
}

Result<void> complete(Declaration& declaration) {
  TRY(check_name(declaration.name()));
  TRY(check_root(declaration));
  TRY(check_process(declaration));
  TRY(check_network(declaration));
  TRY(check_limits(declaration));
  if (!OutsidePeers_IsValid(declaration.external_unix()))
    return invalid("--external-unix: an unknown word", "give refuse, close or reconnect");
  for (const Volume& volume : declaration.volumes()) {
    std::error_code error;
    if (!fs::exists(volume.source(), error))
      return fail(Code::kNotFound, fmt::format("--volume: '{}' does not exist", volume.source()));
  }
  return {};
}

Result<uint64_t> parse_size(std::string_view text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  constexpr std::string_view kUnits = "KMGT";
  const size_t power = unit.empty() ? 0 : kUnits.find(unit[0]) + 1;
  const bool good = error == std::errc() && unit.size() <= 1 && (unit.empty() || power > 0) &&
                    value <= (UINT64_MAX >> (10 * power));
  if (!good) return invalid(fmt::format("'{}' is not a size", text), "write it like 512M or 2G");
  return value << (10 * power);
}

Result<Volume> parse_volume(std::string_view text) {
  Volume volume;
  std::string_view rest = text;
  if (rest.ends_with(":ro")) {
    volume.set_read_only(true);
    rest.remove_suffix(3);
  }
  const size_t colon = rest.find(':');
  if (colon != std::string_view::npos) {
    volume.set_source(std::string(rest.substr(0, colon)));
    volume.set_destination(std::string(rest.substr(colon + 1)));
  }
  if (!volume.source().starts_with('/') || !volume.destination().starts_with('/') ||
      volume.destination().find(':') != std::string::npos)
    return invalid(fmt::format("'{}' is not a volume", text), "write it like /host/dir:/dir[:ro]");
  return volume;
}

}  // namespace martlet::agent
