// Calls of the local API that go on for a while: logs and exec.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>

#include "agent/local_service.h"
#include "agent/rpc_status.h"
#include "sys/pidfd.h"

namespace martlet::agent {
namespace {

using namespace std::chrono_literals;

constexpr int kPollMilliseconds = 200;  // how late a client that went away is noticed
constexpr size_t kChunk = 64 * 1024;

// Sends what the file holds from the current offset to its end; false if the client is gone.
Result<bool> send_rest(const Fd& log, grpc::ServerWriter<LogChunk>& writer) {
  std::string buffer(kChunk, '\0');
  for (;;) {
    const ssize_t count = read(log.get(), buffer.data(), buffer.size());
    if (count < 0) return fail_errno("read of the log");
    if (count == 0) return true;
    LogChunk chunk;
    chunk.set_data(buffer.data(), static_cast<size_t>(count));
    if (!writer.Write(chunk)) return false;
  }
}

class LogWatch {
 public:
  static Result<LogWatch> start(const std::string& path) {
    Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify.valid()) return fail_errno("inotify_init1");
    if (inotify_add_watch(inotify.get(), path.c_str(), IN_MODIFY) < 0)
      return fail_errno("watching " + path);
    return LogWatch(std::move(inotify));
  }
  void wait() {
    pollfd readable{inotify_.get(), POLLIN, 0};
    poll(&readable, 1, kPollMilliseconds);
    std::array<char, 4096> events;
    while (read(inotify_.get(), events.data(), events.size()) > 0) {
    }
  }

 private:
  explicit LogWatch(Fd inotify) : inotify_(std::move(inotify)) {}
  Fd inotify_;
};

bool has_ended(const ContainerManager& manager, const std::string& name) {
  const auto container = manager.find(name);
  return !container || container->record.state() == STATE_EXITED;
}

Result<void> follow(const ContainerManager& manager, const std::string& name, const Fd& log,
                    const std::string& path, grpc::ServerContext& context,
                    grpc::ServerWriter<LogChunk>& writer) {
  LogWatch watch = TRY(LogWatch::start(path));
  while (!context.IsCancelled()) {
    const bool ended = has_ended(manager, name);  // asked first: what it wrote before is sent below
    if (!TRY(send_rest(log, writer)) || ended) break;
    watch.wait();
  }
  return {};
}

struct Pipe {
  Fd reader;
  Fd writer;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// Reads once from a pipe that is ready and sends it on; closes it at its end.
void forward(Fd& reader, bool is_error, grpc::ServerWriter<ExecEvent>& writer) {
  std::string buffer(kChunk, '\0');
  const ssize_t count = read(reader.get(), buffer.data(), buffer.size());
  if (count <= 0) return reader.reset();
  buffer.resize(static_cast<size_t>(count));
  ExecEvent event;
  if (is_error)
    event.set_error_output(std::move(buffer));
  else
    event.set_output(std::move(buffer));
  writer.Write(event);
}

// Until both ends are closed, or the client is gone (false).
bool forward_all(Fd& output, Fd& errors, grpc::ServerContext& context,
                 grpc::ServerWriter<ExecEvent>& writer) {
  while (output.valid() || errors.valid()) {
    if (context.IsCancelled()) return false;
    pollfd ends[2] = {{output.get(), POLLIN, 0}, {errors.get(), POLLIN, 0}};
    if (poll(ends, 2, kPollMilliseconds) <= 0) continue;
    if (ends[0].revents) forward(output, false, writer);
    if (ends[1].revents) forward(errors, true, writer);
  }
  return true;
}

// The client's own standard input: the command reads from it without anybody in between.
Result<Fd> input_of(int process) {
  const Fd client = TRY_IN(sys::open_pidfd(HostPid(process)), "the client's standard input");
  return in_context(sys::duplicate_descriptor(client, STDIN_FILENO), "the client's standard input");
}

Result<void> run_exec(sys::Program program, Fd input, grpc::ServerContext& context,
                      grpc::ServerWriter<ExecEvent>& writer) {
  Pipe output = TRY(make_pipe());
  Pipe errors = TRY(make_pipe());
  program.descriptors = {{output.writer.get(), 1}, {errors.writer.get(), 2}};
  if (input.valid()) program.descriptors.push_back({input.get(), 0});
  sys::RunningProgram running = TRY(sys::start_program(program));
  input.reset();
  output.writer.reset();
  errors.writer.reset();
  if (!forward_all(output.reader, errors.reader, context, writer)) {
    kill(running.pid().value, SIGTERM);  // runc passes it on to the command
    (void)running.wait(2s);
    return fail(Code::kCancelled, "the client went away");
  }
  ExecEvent event;
  event.set_exit_code(TRY(running.wait(24h)));
  writer.Write(event);
  return {};
}

}  // namespace

grpc::Status LocalService::Logs(grpc::ServerContext* context, const LogsRequest* request,
                                grpc::ServerWriter<LogChunk>* writer) {
  const auto send = [&]() -> Result<void> {
    const std::string path = TRY(manager_.find(request->name())).paths.log;
    const Fd log = TRY(open_file(path, O_RDONLY));
    if (request->follow()) return follow(manager_, request->name(), log, path, *context, *writer);
    TRY(send_rest(log, *writer));
    return {};
  };
  return to_status(send());
}

grpc::Status LocalService::Exec(grpc::ServerContext* context, const ExecRequest* request,
                                grpc::ServerWriter<ExecEvent>* writer) {
  if (request->args().empty())
    return to_status(Error(Code::kInvalidArgument, "no command is given"));
  ExecSpec spec;
  spec.args.assign(request->args().begin(), request->args().end());
  spec.env.assign(request->env().begin(), request->env().end());
  spec.working_directory = request->working_directory();
  auto program = manager_.exec_command(request->name(), spec);
  if (!program) return to_status(program.error());
  Fd input;
  if (request->input_process() != 0) {
    auto opened = input_of(request->input_process());
    if (!opened) return to_status(opened.error());
    input = std::move(*opened);
  }
  return to_status(run_exec(std::move(*program), std::move(input), *context, *writer));
}

}  // namespace martlet::agent
