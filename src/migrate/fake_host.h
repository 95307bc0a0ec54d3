// A Host whose containers are a few flags and two directories, for tests of the stage machine: it
// counts running copies, which no fault may make anything but one.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "base/random_id.h"
#include "image/group.pb.h"
#include "image/stream.h"
#include "migrate/host.h"
#include "migrate/test_util.h"

namespace martlet::migrate {

// What is true of one container on one host.
struct FakeCopy {
  bool running = false;   // its tasks execute
  bool attached = false;  // its network reaches it
  std::string incarnation{};
};

class FakeHost final : public Host {
 public:
  FakeHost(std::string name, HostPid init) : name_(std::move(name)), init_(init) {
    std::filesystem::create_directories(directory_ / "containers");
  }

  void add_container(const std::string& container) {
    std::filesystem::create_directories(directory_of(container) + "/upper");
    write_text(directory_of(container) + "/upper/data", "payload of " + container);
    copies_[container] = {.running = true, .attached = true, .incarnation = random_id()};
  }

  bool has(const std::string& container) const { return copies_.contains(container); }
  FakeCopy copy(const std::string& container) const {
    auto found = copies_.find(container);
    return found == copies_.end() ? FakeCopy{} : found->second;
  }
  std::string directory_of(const std::string& container) const {
    return directory_ / ("containers/" + container);
  }

  const std::string& name() const override { return name_; }
  Result<std::unique_ptr<SourceContainer>> open_container(const std::string& name) override;
  Result<Endpoint> locate(const std::string&) override {
    return Endpoint{.host = "127.0.0.1", .port = std::to_string(peer_port)};
  }
  std::vector<std::string> problems_with(const std::string& record) override {
    if (has(record)) return {"the name " + record + " is taken"};
    return {};
  }
  std::string base_layer(const std::string&) const override { return ""; }
  std::string file_store() const override { return directory_.path(); }
  Result<std::unique_ptr<ReservedContainer>> reserve(const std::string& record,
                                                     const std::string& incarnation) override;
  Result<std::unique_ptr<ReservedContainer>> reopen_reserved(const std::string& name) override;

  static Result<void> fail_first(size_t& times, const char* what) {
    if (times == 0) return {};
    --times;
    return fail(Code::kSystem, std::string("injected failure: ") + what);
  }

  uint16_t peer_port = 0;               // of every other host
  size_t connections_in_setup = 0;      // reported once each, then fewer
  size_t connections_while_frozen = 0;  // likewise, to whoever looks when the container is frozen
  bool ran_without_network = false;     // a container was thawed before its link was attached
  // How often each of these fails before it works.
  size_t failing_runs = 0;
  size_t failing_removals = 0;
  size_t failing_attachments = 0;

 private:
  friend class FakeSource;
  friend class FakeReserved;
  friend class FakeFrozen;
  friend class FakeRestored;

  std::string name_;
  HostPid init_;
  TemporaryDirectory directory_;
  std::map<std::string, FakeCopy> copies_;
};

class FakeFrozen final : public FrozenContainer {
 public:
  FakeFrozen(FakeHost& host, std::string name) : host_(host), name_(std::move(name)) {
    host_.copies_[name_].running = false;
  }
  ~FakeFrozen() override {
    if (!done_) must(thaw());
  }

  std::vector<HostPid> processes() const override { return {host_.init_}; }
  Result<checkpoint::CaptureStats> capture(image::Sink& sink, checkpoint::MemoryRounds*,
                                           checkpoint::MemoryScope) override {
    image::Header header;
    header.set_version(image::kFormatVersion);
    TRY(put_message(sink, image::RecordType::kHeader, header));
    std::vector<std::byte> pages(1 << 20, std::byte{7});
    for (uint64_t i = 0; i < 8; ++i)
      TRY(put_pages(sink, {.owner = 1, .flags = 0, .address = i << 20, .length = 1 << 20}, pages));
    TRY(sink.put(image::RecordType::kEnd, {}, {}));
    return checkpoint::CaptureStats{};
  }
  Result<void> hold() override { return {}; }
  Result<void> thaw() override {
    done_ = true;
    FakeCopy& copy = host_.copies_[name_];
    copy.running = true;
    host_.ran_without_network |= !copy.attached;
    return {};
  }
  Result<void> kill() override {
    done_ = true;
    return {};
  }

 private:
  FakeHost& host_;
  std::string name_;
  bool done_ = false;
};

class FakeSource final : public SourceContainer {
 public:
  FakeSource(FakeHost& host, std::string name) : host_(host), name_(std::move(name)) {}

  std::string record() const override { return name_; }
  std::string incarnation() const override { return host_.copy(name_).incarnation; }
  HostPid init() const override { return host_.init_; }
  std::vector<FileTree> files() const override {
    return {{.name = "upper", .path = host_.directory_of(name_) + "/upper"}};
  }
  std::string upper_layer() const override { return ""; }
  std::optional<NetworkPort> network() const override { return std::nullopt; }
  Result<std::unique_ptr<checkpoint::MemoryRounds>> follow_memory() override {
    return fail(Code::kUnsupported, "no memory to follow");
  }
  Result<void> throttle(int) override { return {}; }
  Result<std::unique_ptr<FrozenContainer>> freeze() override {
    return std::make_unique<FakeFrozen>(host_, name_);
  }
  Result<void> thaw() override {
    host_.copies_[name_].running = true;
    return {};
  }
  std::vector<std::string> connections_in_setup() override {
    size_t& left =
        host_.copies_[name_].running ? host_.connections_in_setup : host_.connections_while_frozen;
    if (left == 0) return {};
    return {std::to_string(left--) + " to 0.0.0.0:6379"};
  }
  Result<void> hold_network() override {
    host_.copies_[name_].attached = false;
    return {};
  }
  Result<void> release_network() override {
    TRY(FakeHost::fail_first(host_.failing_attachments, "attach"));
    host_.copies_[name_].attached = true;
    return {};
  }
  Result<void> destroy() override {
    host_.copies_.erase(name_);
    std::filesystem::remove_all(host_.directory_of(name_));
    return {};
  }

 private:
  FakeHost& host_;
  std::string name_;
};

class FakeRestored final : public RestoredContainer {
 public:
  checkpoint::RestoreStats stats() const override { return {}; }
  Result<void> detach_frozen() override { return {}; }
};

class FakeReserved final : public ReservedContainer {
 public:
  FakeReserved(FakeHost& host, std::string name) : host_(host), name_(std::move(name)) {}

  std::string incarnation() const override { return host_.copy(name_).incarnation; }
  HostPid init() const override { return host_.init_; }
  std::vector<FileTree> files() const override {
    return {{.name = "upper", .path = host_.directory_of(name_) + "/upper"}};
  }
  Result<void> build_sandbox(const sys::ClockOffsets&) override { return {}; }
  Result<void> files_changed() override { return {}; }
  std::optional<NetworkPort> network() const override { return std::nullopt; }
  Result<std::unique_ptr<RestoredContainer>> restore(image::Source& source,
                                                     checkpoint::MemoryScope) override {
    while (TRY(source.next()).type != image::RecordType::kEnd) continue;
    return std::make_unique<FakeRestored>();
  }
  Result<void> attach() override { return announce(); }
  Result<void> announce() override {
    host_.copies_[name_].attached = true;
    return {};
  }
  Result<void> adopt() override { return {}; }
  Result<void> run() override {
    TRY(FakeHost::fail_first(host_.failing_runs, "run"));
    host_.copies_[name_].running = true;
    return {};
  }
  Result<void> destroy() override {
    TRY(FakeHost::fail_first(host_.failing_removals, "remove"));
    host_.copies_.erase(name_);
    std::filesystem::remove_all(host_.directory_of(name_));
    return {};
  }

 private:
  FakeHost& host_;
  std::string name_;
};

inline Result<std::unique_ptr<SourceContainer>> FakeHost::open_container(const std::string& name) {
  if (!has(name)) return fail(Code::kNotFound, "no container of this name");
  return std::make_unique<FakeSource>(*this, name);
}

inline Result<std::unique_ptr<ReservedContainer>> FakeHost::reserve(
    const std::string& record, const std::string& incarnation) {
  std::filesystem::create_directories(directory_of(record) + "/upper");
  copies_[record] = {.incarnation = incarnation};
  return std::make_unique<FakeReserved>(*this, record);
}

inline Result<std::unique_ptr<ReservedContainer>> FakeHost::reopen_reserved(
    const std::string& name) {
  if (!has(name)) return fail(Code::kNotFound, "no container of this name");
  return std::make_unique<FakeReserved>(*this, name);
}

}  // namespace martlet::migrate
