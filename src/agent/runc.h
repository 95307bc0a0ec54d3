// The OCI runtime as this agent drives it.
//
// Every container lives in its own time namespace, which runc 1.1 does not know: runc itself is
// started inside it and everything below inherits it. For the same reason every later call must run
// there too: runc recognises a container's init by its start time, which /proc shows shifted by the
// reader's boot-time offset.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/container.h"
#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "sys/program.h"

namespace martlet::agent {

// How the first process of a container is started.
struct InitSpec {
  sys::ClockOffsets clocks;
  Fd log;                 // standard output and error
  std::vector<Fd> extra;  // become descriptors 3, 4, ...
};

struct ExecSpec {
  std::vector<std::string> args;
  std::vector<std::string> env;   // "KEY=VALUE"
  std::string working_directory;  // empty: that of init
};

class Runc {
 public:
  // `root` is where runc keeps its state; one agent only.
  explicit Runc(std::string root) : root_(std::move(root)) {}

  // Builds the environment from paths.bundle; init exists and waits. Returns its PID.
  Result<HostPid> create(const Container& container, const InitSpec& init) const;
  // Lets init execute its program.
  Result<void> start(const Container& container) const;
  // Removes runc's state and the cgroups of a container without processes. Also if there is none.
  Result<void> forget(const Container& container) const;
  // The program that runs a command in the container; descriptors 0 to 2 are the caller's choice.
  Result<sys::Program> exec(const Container& container, const ExecSpec& spec) const;

 private:
  std::vector<std::string> command(const Container& container,
                                   std::vector<std::string> arguments) const;
  Result<void> run(const Container& container, sys::Program program, const std::string& what) const;
  std::string root_;
};

}  // namespace martlet::agent
