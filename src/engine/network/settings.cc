#include "engine/network/settings.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace martlet::engine {
namespace {

constexpr const char* kRoot = "/proc/sys/net";

// Orders to do something, numbers that tell of the whole host, and what a device has anyway.
constexpr std::array<std::string_view, 5> kNoSettings = {
    "ipv4/route/flush", "ipv6/route/flush", "netfilter/nf_conntrack_buckets",
    "netfilter/nf_conntrack_max", "netfilter/nf_conntrack_expect_max"};

bool is_setting(std::string_view path) {
  return std::ranges::find(kNoSettings, path) == kNoSettings.end() && !path.ends_with("/mtu");
}

// "ipv4/conf/DEVICE/NAME" and "ipv4/neigh/DEVICE/NAME" in their parts; no device: it is another.
struct Place {
  std::string tree;
  std::string device;
  std::string name;
};

Place place_of(const std::string& path) {
  for (std::string_view tree : {"ipv4/conf/", "ipv6/conf/", "ipv4/neigh/", "ipv6/neigh/"}) {
    if (!path.starts_with(tree)) continue;
    const size_t end = path.rfind('/');
    return {std::string(tree), path.substr(tree.size(), end - tree.size()), path.substr(end + 1)};
  }
  return {{}, {}, path};
}

// What is set for all devices changes what is set for each.
int rank_of(const std::string& path) {
  const Place place = place_of(path);
  if (place.device.empty()) return 0;
  return place.device == "all" ? 1 : place.device == "default" ? 2 : 3;
}

const std::string* fresh_value(const NetworkSettings& fresh, const std::string& path) {
  auto found = fresh.find(path);
  if (const Place place = place_of(path); found == fresh.end() && !place.device.empty())
    found = fresh.find(place.tree + "default/" + place.name);
  return found == fresh.end() ? nullptr : &found->second;
}

bool is_sound(std::string_view path) {
  return !path.empty() && path.front() != '/' && path.find("..") == std::string_view::npos &&
         path.find('\0') == std::string_view::npos;
}

// In one piece: these files are read at their beginning alone.
std::optional<std::string> read_setting(const std::string& path) {
  std::array<char, 4096> text;
  const Fd file(::open(fmt::format("{}/{}", kRoot, path).c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size < 0) return std::nullopt;
  return std::string(text.data(), static_cast<size_t>(size));
}

Result<void> write_setting(const std::string& path, const std::string& value) {
  Fd file = TRY(open_file(fmt::format("{}/{}", kRoot, path), O_WRONLY));
  return write_full(file.get(), std::as_bytes(std::span(value)));
}

}  // namespace

Result<NetworkSettings> read_settings() {
  NetworkSettings settings;
  std::error_code failed;
  using Walk = std::filesystem::recursive_directory_iterator;
  for (Walk entry(kRoot, failed), end; !failed && entry != end; entry.increment(failed)) {
    struct stat status{};
    const std::string path = entry->path().string();
    if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if ((status.st_mode & S_IWUSR) == 0 || (status.st_mode & S_IRUSR) == 0) continue;
    std::string name = path.substr(std::string_view(kRoot).size() + 1);
    if (!is_setting(name)) continue;
    // One that has no value yet cannot be read.
    if (auto value = read_setting(name)) settings.emplace(std::move(name), *std::move(value));
  }
  if (failed) return fail(Code::kSystem, fmt::format("list {}: {}", kRoot, failed.message()));
  return settings;
}

NetworkSettings read_settings_of(const std::vector<std::string>& devices,
                                 const NetworkSettings& fresh) {
  NetworkSettings settings;
  auto read = [&](const std::string& path) {
    if (auto value = read_setting(path)) settings.emplace(path, *std::move(value));
  };
  for (const auto& [path, value] : fresh) {
    const Place place = place_of(path);
    if (place.device.empty() || place.device == "all" || place.device == "default") read(path);
    if (place.device != "default") continue;
    for (const std::string& device : devices) read(place.tree + device + "/" + place.name);
  }
  return settings;
}

google::protobuf::RepeatedPtrField<image::NetworkSetting> differing_settings(
    const NetworkSettings& now, const NetworkSettings& fresh) {
  std::vector<const NetworkSettings::value_type*> differing;
  for (const auto& setting : now) {
    const std::string* before = fresh_value(fresh, setting.first);
    if (before == nullptr || *before != setting.second) differing.push_back(&setting);
  }
  std::ranges::stable_sort(differing, {},
                           [](const auto* setting) { return rank_of(setting->first); });
  google::protobuf::RepeatedPtrField<image::NetworkSetting> out;
  for (const auto* setting : differing) {
    image::NetworkSetting& added = *out.Add();
    added.set_path(setting->first);
    added.set_value(setting->second);
  }
  return out;
}

Result<void> apply_settings(
    const google::protobuf::RepeatedPtrField<image::NetworkSetting>& settings) {
  for (const image::NetworkSetting& setting : settings) {
    if (!is_sound(setting.path())) return fail(Code::kBadImage, "a network setting of no name");
    const auto now = read_setting(setting.path());
    if (now && *now == setting.value()) continue;
    TRY_IN(write_setting(setting.path(), setting.value()), "network setting " + setting.path());
  }
  return {};
}

}  // namespace martlet::engine
