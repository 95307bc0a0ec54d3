#include "engine/tasks/join_namespace.h"

#include <array>

#include "engine/program.h"

namespace martlet::engine {

Result<void> join_namespace(Task& task, const Fd& name_space, int kind, const char* what,
                            DescriptorChannel& channel) {
  const std::array<int, 1> wanted = {name_space.get()};
  const int number = TRY(channel.send(task, wanted))[0];
  Program program(task.arena());
  program.call(what, SYS_setns, {number, kind});
  program.call("close", SYS_close, {number});
  return task.run(program);
}

}  // namespace martlet::engine
