// The options of a socket, read from one and written to another.
//
// One table in socket_options.cc names every option that moves; one more is one more line there.
// Values travel as the raw bytes of getsockopt, because the kernel's interface to them is per
// option and stable. Free functions without state; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::sys {

struct SocketType {
  int family = 0;
  int type = 0;
  int protocol = 0;
  auto operator<=>(const SocketType&) const = default;
};
// Empty for what is not a socket.
std::optional<SocketType> socket_type(int fd);

struct SocketOption {
  int level = 0;
  int name = 0;
  std::string value;
  std::string device;  // the name of the network device whose number the value is, if it is one
};

// When an option must be written: most before the socket gets its address; some only after its
// queues are filled, because they limit or trigger what happens on the way.
enum class OptionPhase { kBeforeBind, kLast };

// Every option of the table that the socket has, except those at a constant default of zero.
std::vector<SocketOption> read_socket_options(int fd);

// The options of one socket, by which others like it are told in few words: of the same type, and
// connected if it is. What it does not have they are not asked for.
class SocketModel {
 public:
  static SocketModel of(int fd, SocketType type, bool connected);
  // As read_socket_options() gives them.
  const std::vector<SocketOption>& options() const { return options_; }
  // Those that another socket has otherwise, also where it has a zero.
  std::vector<SocketOption> differences(int fd) const;

 private:
  struct Entry {
    size_t row;  // in the table
    std::string value;
  };
  std::vector<Entry> entries_;
  std::vector<SocketOption> options_;
};

// Also if the connection is over.
bool is_connected(int fd);

// Writes the options of one phase where they differ from what the socket has; of one that comes
// twice the last counts. Errors: kBadImage for
// an option outside the table, kUnsupported for one that this kernel lacks, else the kernel's
// refusal, with the option's name.
Result<void> write_socket_options(int fd, const std::vector<SocketOption>& options,
                                  OptionPhase phase);

// The network devices of the socket's own network namespace, by number and by name.
Result<std::string> device_name(int fd, uint32_t number);
Result<uint32_t> device_number(int fd, const std::string& name);

Result<int> get_int_option(int fd, int level, int name);
Result<void> set_int_option(int fd, int level, int name, int value);

// Lets queues grow to `bytes` each, past the limits of the system. The option values of kLast put
// the real sizes back.
Result<void> enlarge_send_buffer(int fd, size_t bytes);
Result<void> enlarge_receive_buffer(int fd, size_t bytes);

// The classic BPF program attached to the socket, as an array of struct sock_filter; empty if there
// is none. kUnsupported: an extended BPF program is attached.
Result<std::string> read_socket_filter(int fd);
// Replaces the program; an empty one detaches.
Result<void> write_socket_filter(int fd, const std::string& program);
// A program that discards everything that arrives for the socket, silently.
std::string drop_everything_filter();

// The same for many sockets: an extended program that is compiled once or, where the kernel lets
// this process load none, the program above for each.
class DropEverything {
 public:
  static DropEverything load();
  // In the place of the socket's program.
  Result<void> attach(int fd) const;

 private:
  explicit DropEverything(Fd program) : program_(std::move(program)) {}
  Fd program_;
};
// Whether the socket has an extended program.
bool has_extended_filter(int fd);

}  // namespace martlet::sys
