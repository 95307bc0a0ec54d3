#include "migrate/preflight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/random_id.h"
#include "migrate/message_channel.h"
#include "migrate/peer.h"
#include "migrate/requirements.h"

namespace martlet::migrate {

namespace {

Result<protocol::Verdict> ask(const Environment& environment, protocol::Offer offer,
                              const std::string& destination, const Cancellation& cancellation) {
  Peer peer(environment.tls, environment.host, destination, offer.migration());
  auto control = TRY(peer.open_control({.timeout = kStageTimeout, .cancellation = &cancellation}));
  protocol::Message hello = make_hello();
  *hello.mutable_hello()->mutable_offer() = std::move(offer);
  TRY(control.send(hello));
  return TRY(control.expect(protocol::Message::kVerdict)).verdict();
}

Result<Feasibility> check(const Environment& environment, const std::string& name,
                          const std::string& destination, const Cancellation& cancellation) {
  auto container = TRY(environment.host.open_container(name));
  if (container->init().value == 0) return fail(Code::kInvalidArgument, "it does not run");
  auto offer = TRY(make_offer(environment, *container, name, random_id()));
  offer.set_check_only(true);
  const Feasibility found{.memory_bytes = offer.requirements().memory_bytes(),
                          .file_bytes = offer.requirements().disk_bytes()};
  auto verdict = TRY(ask(environment, std::move(offer), destination, cancellation));
  TRY(check_verdict(verdict, destination));
  return found;
}

}  // namespace

Result<protocol::Offer> make_offer(const Environment& environment, const SourceContainer& container,
                                   const std::string& name, const std::string& migration) {
  protocol::Offer offer;
  offer.set_migration(migration);
  offer.set_container(name);
  offer.set_source(environment.host.name());
  offer.set_record(container.record());
  *offer.mutable_requirements() = TRY(gather_requirements(container));
  return offer;
}

Result<void> check_verdict(const protocol::Verdict& verdict, const std::string& destination) {
  if (verdict.problems_size() == 0) return {};
  return fail(Code::kUnsupported, fmt::format("host {} cannot take it: {}", destination,
                                              fmt::join(verdict.problems(), "; ")));
}

Result<Feasibility> check_migration(const Environment& environment, const std::string& container,
                                    const std::string& destination,
                                    const Cancellation& cancellation) {
  return in_context(check(environment, container, destination, cancellation),
                    "container " + container + ": migration to " + destination);
}

}  // namespace martlet::migrate
