#include "agent/container_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "sys/mounts.h"

namespace martlet::agent {
namespace {

namespace fs = std::filesystem;

std::string root_of_bundle(const Declaration::Bundle& bundle) {
  const auto config = nlohmann::json::parse(bundle.config(), nullptr, false);
  std::string root = "rootfs";
  if (config.is_object() && config.contains("root") && config["root"].is_object())
    root = config["root"].value("path", root);
  return (fs::path(bundle.path()) / root).lexically_normal();
}

Result<void> make_directory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) != 0) return fail_errno("creation of " + path);
  return {};
}

}  // namespace

ContainerPaths ContainerFiles::paths_of(const Declaration& declaration) const {
  ContainerPaths paths;
  paths.directory = fmt::format("{}/containers/{}", state_dir_, declaration.name());
  paths.bundle = paths.directory + "/bundle";
  paths.log = paths.directory + "/log";
  paths.pid_file = paths.directory + "/pid";
  paths.runc_log = paths.directory + "/runc.log";
  paths.first_mounts = paths.directory + "/mounts";
  if (declaration.has_overlay()) {
    paths.root = paths.directory + "/root";
    paths.upper = paths.directory + "/upper";
    paths.work = paths.directory + "/work";
  } else {
    paths.root =
        declaration.has_bundle() ? root_of_bundle(declaration.bundle()) : declaration.rootfs();
    paths.upper = paths.root;
  }
  return paths;
}

Result<void> ContainerFiles::make(const ContainerPaths& paths) const {
  TRY(make_directory(paths.directory, 0700));
  TRY(make_directory(paths.bundle, 0700));
  if (!paths.work.empty()) {
    TRY(make_directory(paths.root, 0755));
    TRY(make_directory(paths.upper, 0755));
    TRY(make_directory(paths.work, 0755));
  }
  TRY(open_file(paths.log, O_WRONLY | O_CREAT, 0600));
  return {};
}

Result<void> ContainerFiles::mount_root(const Container& container) const {
  const ContainerPaths& paths = container.paths;
  if (paths.work.empty()) return {};
  return sys::mount_overlay({container.record.declaration().overlay(), paths.upper, paths.work},
                            paths.root);
}

Result<void> ContainerFiles::write_bundle(const Container& container,
                                          const std::string& config) const {
  return replace_file(container.paths.bundle + "/config.json", config, 0600);
}

Result<void> ContainerFiles::note_mounts(const ContainerPaths& paths,
                                         const std::string& mountinfo) const {
  TRY(open_file(paths.first_mounts, O_WRONLY | O_CREAT, 0600));
  return write_file(paths.first_mounts, mountinfo);
}

Result<Fd> ContainerFiles::open_log(const ContainerPaths& paths) const {
  return open_file(paths.log, O_WRONLY | O_APPEND);
}

Result<void> ContainerFiles::remove(const ContainerPaths& paths) const {
  if (!paths.work.empty()) {
    TRY(sys::unmount(paths.root));
    CHECK(!TRY(sys::is_mount_point(paths.root)));  // what is mounted must not be removed below
  }
  std::error_code error;
  fs::remove_all(paths.directory, error);
  if (error)
    return std::unexpected(Error::from_errno(error.value(), "removal of " + paths.directory));
  return {};
}

}  // namespace martlet::agent
