// Notices the end of containers' init processes, which are not children of the agent.
//
// One thread waits on a pidfd for each and calls back once. All functions may be called from any
// thread but the watcher's own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::agent {

class ExitWatcher {
 public:
  // `exit_code` is 128 + signal for a signal, and absent where the kernel does not tell.
  using OnExit = std::function<void(const std::string& name, std::optional<int> exit_code)>;

  static Result<std::unique_ptr<ExitWatcher>> start(OnExit on_exit);
  ~ExitWatcher();

  Result<void> watch(const std::string& name, HostPid init, Fd pidfd);
  void forget(const std::string& name);

 private:
  struct Watched {
    HostPid init;
    Fd pidfd;
  };
  ExitWatcher(OnExit on_exit, Fd epoll, Fd wake);
  void loop();
  void handle(int pidfd);

  OnExit on_exit_;
  Fd epoll_;
  Fd wake_;
  std::mutex mutex_;
  std::map<std::string, Watched> watched_;
  std::thread thread_;
};

}  // namespace martlet::agent
