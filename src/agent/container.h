// One container as its agent knows it at one moment: a snapshot by value, safe to keep and to read
// on any thread. It is changed only through the ContainerManager.
#pragma once

#include <string>

#include "agent/declaration.pb.h"
#include "base/ids.h"

namespace martlet::agent {

// Where a container's files are on this host; all absolute.
struct ContainerPaths {
  std::string directory;  // everything below is in here, apart from a --rootfs or --bundle root
  std::string bundle;     // the generated OCI bundle
  std::string root;       // the root file system as the container sees it
  std::string upper;      // what travels with the container: the overlay's upper layer, or the root
  std::string work;       // the overlay's work directory; empty without an overlay
  std::string log;       // standard output and error, opened for append by the processes themselves
  std::string pid_file;  // written by runc
  std::string runc_log;  // runc's own messages
  std::string first_mounts;  // what was mounted before the program began
};

struct Container {
  ContainerRecord record;
  ContainerPaths paths;
  std::string freezer_cgroup;  // absolute directory of the cgroup that freezes every process
  std::string host_interface;  // the host end of its link; empty without an address
  std::string busy_with;       // the operation under way, such as "migration"; empty if none
  std::string arriving;        // memory that is still to come from another host; empty if none

  const std::string& name() const { return record.declaration().name(); }
  // Its PID 1 as the agent sees it; 0 unless it runs.
  HostPid init() const { return HostPid(record.init_pid()); }
};

}  // namespace martlet::agent
