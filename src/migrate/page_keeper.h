// The process that keeps the missing pages of one container from reading as zeros.
//
// It holds the userfaultfds of the container's processes, follows what they do, and puts pages
// where they belong. Everything that comes from the source comes through the agent, over a Unix
// socket. An agent that ends changes nothing: tasks that touch a missing page wait, and the next
// agent connects and is told what is missing. The agent in turn holds duplicates of the
// descriptors, so that the end of this process alone does not make a missing page readable either.
//
// It ends when nothing is missing any more, which it notes before as a file beside its socket; and
// when all the container's processes have ended.
#pragma once

#include <string>

namespace martlet::migrate {

// The name that `martletd` is called with to be a keeper, as its first argument; the second is the
// path of the socket.
inline constexpr const char* kKeeperArgument = "--page-keeper";
// The descriptor of the listening socket in the keeper.
inline constexpr int kKeeperSocket = 3;

std::string completion_mark(const std::string& socket_path);

// Runs until it is done; the exit code of the process. `listener` is a descriptor.
int keep_pages(int listener, const std::string& socket_path);

}  // namespace martlet::migrate
