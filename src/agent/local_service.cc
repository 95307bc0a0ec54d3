#include "agent/local_service.h"

#include "agent/host_info.h"
#include "agent/rpc_status.h"

namespace martlet::agent {
namespace {

// The answer of a call that changed the container and has finished.
grpc::Status answer(const Result<Container>& container, ContainerInfo* reply) {
  if (!container) return to_status(container.error());
  *reply = to_info(*container);
  reply->clear_busy_with();
  return grpc::Status::OK;
}

}  // namespace

ContainerInfo to_info(const Container& container) {
  ContainerInfo info;
  *info.mutable_record() = container.record;
  info.set_log_path(container.paths.log);
  info.set_root_path(container.paths.root);
  info.set_upper_path(container.paths.upper);
  info.set_cgroup(container.freezer_cgroup);
  info.set_host_interface(container.host_interface);
  info.set_busy_with(container.busy_with);
  info.set_arriving(container.arriving);
  return info;
}

grpc::Status LocalService::Info(grpc::ServerContext*, const InfoRequest*, HostInfo* reply) {
  const auto info = gather_host_info(config_, membership_.address());
  if (info) *reply = *info;
  return to_status(info);
}

grpc::Status LocalService::Run(grpc::ServerContext*, const RunRequest* request,
                               ContainerInfo* reply) {
  return answer(manager_.run(request->declaration()), reply);
}

grpc::Status LocalService::List(grpc::ServerContext*, const ListRequest*, ListReply* reply) {
  for (const Container& container : manager_.list()) *reply->add_containers() = to_info(container);
  return grpc::Status::OK;
}

grpc::Status LocalService::Inspect(grpc::ServerContext*, const NameRequest* request,
                                   ContainerInfo* reply) {
  const auto container = manager_.find(request->name());
  if (container) *reply = to_info(*container);
  return to_status(container);
}

grpc::Status LocalService::Stop(grpc::ServerContext*, const StopRequest* request,
                                ContainerInfo* reply) {
  const double seconds = request->timeout_seconds();
  if (!(seconds >= 0 && seconds <= 86400))
    return to_status(
        Error(Code::kInvalidArgument, "the timeout is not between 0 and 86400 seconds"));
  const auto timeout =
      std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(seconds));
  return answer(manager_.stop(request->name(), timeout), reply);
}

grpc::Status LocalService::Remove(grpc::ServerContext*, const RemoveRequest* request, Empty*) {
  using Force = ContainerManager::Force;
  return to_status(manager_.remove(request->name(), request->force() ? Force::kYes : Force::kNo));
}

grpc::Status LocalService::Pause(grpc::ServerContext*, const NameRequest* request,
                                 ContainerInfo* reply) {
  return answer(manager_.pause(request->name()), reply);
}

grpc::Status LocalService::Unpause(grpc::ServerContext*, const NameRequest* request,
                                   ContainerInfo* reply) {
  return answer(manager_.unpause(request->name()), reply);
}

}  // namespace martlet::agent
