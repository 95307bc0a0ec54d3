#include "engine/network/networks.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include "engine/context.h"
#include "sys/namespaces.h"

namespace martlet::engine {

uint32_t Networks::add(Fd name_space) {
  others_.push_back(std::move(name_space));
  return static_cast<uint32_t>(others_.size());
}

Result<uint32_t> Networks::of_socket(int socket) {
  for (auto number = static_cast<uint32_t>(by_sockets_.size()); number < count(); ++number)
    TRY(run_inside(number, [&]() -> Result<void> {
      const Fd any(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      if (!any.valid()) return fail_errno("create a socket");
      by_sockets_[TRY(sys::network_number_of_socket(any.get()))] = number;
      return {};
    }));
  const auto found = by_sockets_.find(TRY(sys::network_number_of_socket(socket)));
  return found == by_sockets_.end() ? kForeign : found->second;
}

Result<Fd> Networks::open(uint32_t number) const {
  if (number == 0) return sys::open_namespace(root_, sys::NamespaceKind::kNetwork);
  if (number > others_.size())
    return fail(Code::kBadImage, fmt::format("no network namespace {}", number));
  return others_[number - 1].duplicate();
}

Result<void> Networks::run_inside(uint32_t number,
                                  const std::function<Result<void>()>& work) const {
  if (number == 0) return run_in_namespace(root_, "net", work);
  return sys::run_inside(TRY(open(number)), sys::NamespaceKind::kNetwork, work);
}

}  // namespace martlet::engine
