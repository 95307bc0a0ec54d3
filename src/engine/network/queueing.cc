#include "engine/network/queueing.h"

#include <fmt/format.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "engine/network/queueing_options.h"

namespace martlet::engine {
namespace {

using sys::NetlinkAttribute;
using sys::NetlinkChannel;
using sys::NetlinkMessage;

using Queueing = std::vector<NetlinkMessage>;  // disciplines and classes, parents first

constexpr std::string_view kClassful = "htb";  // others make their classes by themselves

constexpr KnownAttribute kProperties[] = {
    {TCA_KIND, Use::kCarried},   {TCA_OPTIONS, Use::kCarried}, {TCA_STATS, Use::kDropped},
    {TCA_XSTATS, Use::kDropped}, {TCA_STATS2, Use::kDropped},  {TCA_HW_OFFLOAD, Use::kDropped},
    {TCA_PAD, Use::kDropped},
};

tcmsg header_of(const NetlinkMessage& message) {
  return sys::value_of<tcmsg>(message.header);
}

NetlinkMessage message_of(uint16_t type, uint32_t device, uint32_t parent, uint32_t handle) {
  tcmsg header{};
  header.tcm_ifindex = static_cast<int>(device);
  header.tcm_parent = parent;
  header.tcm_handle = handle;
  return {.type = type, .header = sys::bytes_of(header), .attributes = {}};
}

Result<std::vector<NetlinkMessage>> ask(NetlinkChannel& channel, uint16_t type, uint32_t device,
                                        uint32_t parent = 0) {
  return channel.dump(message_of(type, device, parent, 0), sizeof(tcmsg));
}

// --- The order

using Known = std::map<uint32_t, NetlinkMessage>;  // by handle

// Zero at the top.
uint32_t above(const Known& known, const NetlinkMessage& message) {
  const tcmsg header = header_of(message);
  if (header.tcm_parent == TC_H_ROOT)
    return message.type == RTM_NEWTCLASS ? TC_H_MAJ(header.tcm_handle) : 0;
  return known.contains(header.tcm_parent) ? header.tcm_parent : TC_H_MAJ(header.tcm_parent);
}

size_t depth(const Known& known, const NetlinkMessage& message) {
  size_t steps = 0;
  for (const NetlinkMessage* at = &message; steps <= known.size(); ++steps) {
    const auto found = known.find(above(known, *at));
    if (found == known.end()) break;
    at = &found->second;
  }
  return steps;
}

// The kernel would hang a class whose parent is not there at the top.
Queueing parents_first(const Known& known) {
  std::multimap<size_t, NetlinkMessage> by_depth;
  for (const auto& [handle, message] : known) by_depth.emplace(depth(known, message), message);
  Queueing ordered;
  for (auto& [steps, message] : by_depth) ordered.push_back(std::move(message));
  return ordered;
}

// --- What there is

Result<void> refuse_estimator(const NetlinkMessage& told) {
  const NetlinkMessage counted = inside(told, TCA_STATS2);
  if (counted.find(TCA_STATS_RATE_EST) == nullptr) return {};
  return fail(Code::kUnsupported, "an estimator of its rate, whose interval nothing tells");
}

Result<void> refuse_filters(NetlinkChannel& channel, const NetlinkMessage& message) {
  const tcmsg header = header_of(message);
  const auto device = static_cast<uint32_t>(header.tcm_ifindex);
  if (TRY(ask(channel, RTM_GETTFILTER, device, header.tcm_handle)).empty()) return {};
  return fail(Code::kUnsupported, "filters, which are not supported");
}

Result<NetlinkMessage> carried(const NetlinkMessage& told) {
  const std::string kind = text_of(told, TCA_KIND);
  if (!is_known_discipline(kind)) return fail(Code::kUnsupported, "a kind that is not supported");
  TRY(refuse_estimator(told));
  tcmsg header = header_of(told);
  header.tcm_info = 0;  // how many refer to it, or the discipline of a class
  NetlinkMessage kept{.type = told.type, .header = sys::bytes_of(header), .attributes = {}};
  kept.attributes = TRY(keep_known(told.attributes, kProperties, kind));
  for (NetlinkAttribute& attribute : kept.attributes)
    if (attribute.number() == TCA_OPTIONS)
      attribute.value = TRY(options_to_set(kind, attribute.value));
  return kept;
}

std::string describe(const NetlinkMessage& told) {
  const uint32_t handle = header_of(told).tcm_handle;
  return fmt::format("{} {} {:x}:{:x}",
                     told.type == RTM_NEWQDISC ? "queueing discipline" : "traffic class",
                     text_of(told, TCA_KIND), TC_H_MAJ(handle) >> 16, TC_H_MIN(handle));
}

using Disciplines = std::vector<NetlinkMessage>;

// Of all devices, for the kernel tells of no less.
Result<Disciplines> list_disciplines(NetlinkChannel& channel) {
  return ask(channel, RTM_GETQDISC, 0);
}

// Those that the kernel makes by itself have no handle.
Result<std::vector<NetlinkMessage>> list(NetlinkChannel& channel, const Disciplines& of_all,
                                         uint32_t device) {
  std::vector<NetlinkMessage> found;
  for (const NetlinkMessage& message : of_all)
    if (header_of(message).tcm_ifindex == static_cast<int>(device) &&
        header_of(message).tcm_handle != 0)
      found.push_back(message);
  if (found.empty()) return found;
  for (NetlinkMessage& message : TRY(ask(channel, RTM_GETTCLASS, device)))
    if (text_of(message, TCA_KIND) == kClassful) found.push_back(std::move(message));
  return found;
}

Result<Queueing> queueing_of(NetlinkChannel& channel, const Disciplines& of_all, uint32_t device) {
  Known known;
  for (const NetlinkMessage& told : TRY(list(channel, of_all, device))) {
    auto step = [&]() -> Result<void> {
      TRY(refuse_filters(channel, told));
      known[header_of(told).tcm_handle] = TRY(carried(told));
      return {};
    };
    TRY_IN(step(), describe(told));
  }
  return parents_first(known);
}

// --- Making it again

bool is_same(const NetlinkMessage& one, const NetlinkMessage& other) {
  return one.type == other.type && one.header == other.header &&
         sys::join_attributes(one.attributes) == sys::join_attributes(other.attributes);
}

Result<NetlinkMessage> wanted_here(const image::NetlinkObject& object, uint32_t device) {
  NetlinkMessage message = engine::message_of(object);
  const bool is_sound =
      (message.type == RTM_NEWQDISC || message.type == RTM_NEWTCLASS) &&
      message.header.size() == sizeof(tcmsg) && is_known_discipline(text_of(message, TCA_KIND)) &&
      std::ranges::all_of(message.attributes, [](const auto& attribute) {
        return attribute.number() == TCA_KIND || attribute.number() == TCA_OPTIONS;
      });
  if (!is_sound) return fail(Code::kBadImage, "a queueing discipline that is not possible");
  tcmsg header = header_of(message);
  header.tcm_ifindex = static_cast<int>(device);
  message.header = sys::bytes_of(header);
  return message;
}

Result<void> make(NetlinkChannel& channel, const Disciplines& of_all, uint32_t device,
                  const Queueing& wanted) {
  const Queueing there = TRY(queueing_of(channel, of_all, device));
  if (std::ranges::equal(there, wanted, is_same)) return {};
  if (!there.empty()) TRY(channel.change(message_of(RTM_DELQDISC, device, TC_H_ROOT, 0), 0));
  for (const NetlinkMessage& message : wanted)
    TRY_IN(channel.change(message, NLM_F_CREATE | NLM_F_EXCL), describe(message));
  const Queueing made = TRY(queueing_of(channel, TRY(list_disciplines(channel)), device));
  if (std::ranges::equal(made, wanted, is_same)) return {};
  return fail(Code::kUnsupported, "its queueing disciplines become others with this kernel");
}

}  // namespace

Result<void> capture_queueing(CaptureContext& context, NetlinkChannel& channel,
                              image::Network& out) {
  const Disciplines of_all = TRY(list_disciplines(channel));
  for (const image::NetworkDevice& device : out.devices()) {
    auto step = [&]() -> Result<void> {
      for (const NetlinkMessage& message : TRY(queueing_of(channel, of_all, device.index())))
        put(message, *out.mutable_queueing());
      return {};
    };
    TRY(context.judge(in_context(step(), "network device " + device.name())));
  }
  return {};
}

Result<void> apply_queueing(NetlinkChannel& channel, const image::Network& network,
                            const DeviceNumbers& numbers) {
  std::map<uint32_t, Queueing> wanted;
  for (const image::NetlinkObject& object : network.queueing()) {
    const auto there = static_cast<uint32_t>(sys::value_of<tcmsg>(object.header()).tcm_ifindex);
    const uint32_t device = TRY(number_here(numbers, there));
    wanted[device].push_back(TRY(wanted_here(object, device)));
  }
  const Disciplines of_all = TRY(list_disciplines(channel));
  for (const image::NetworkDevice& device : network.devices()) {
    const uint32_t number = TRY(number_here(numbers, device.index()));
    TRY_IN(make(channel, of_all, number, wanted[number]), "network device " + device.name());
  }
  return {};
}

}  // namespace martlet::engine
