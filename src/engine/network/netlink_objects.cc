#include "engine/network/netlink_objects.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>

#include <algorithm>

namespace martlet::engine {
namespace {

const KnownAttribute* find(KnownAttributes known, uint16_t number) {
  const auto found = std::ranges::find(known, number, &KnownAttribute::number);
  return found == known.end() ? nullptr : &*found;
}

Result<void> renumber_hops(std::string& hops, const DeviceNumbers& numbers) {
  for (size_t at = 0; at + sizeof(rtnexthop) <= hops.size();) {
    auto hop = sys::value_of<rtnexthop>(std::string_view(hops).substr(at, sizeof(rtnexthop)));
    if (hop.rtnh_len < sizeof(rtnexthop)) return fail(Code::kBadImage, "a route with a bad hop");
    hop.rtnh_ifindex =
        static_cast<int>(TRY(number_here(numbers, static_cast<uint32_t>(hop.rtnh_ifindex))));
    hops.replace(at, sizeof hop, sys::bytes_of(hop));
    at += RTNH_ALIGN(hop.rtnh_len);
  }
  return {};
}

}  // namespace

Result<std::vector<sys::NetlinkAttribute>> keep_known(
    const std::vector<sys::NetlinkAttribute>& attributes, KnownAttributes known,
    std::string_view what) {
  std::vector<sys::NetlinkAttribute> kept;
  for (const sys::NetlinkAttribute& attribute : attributes) {
    const KnownAttribute* rule = find(known, attribute.number());
    if (rule == nullptr)
      return fail(Code::kUnsupported,
                  fmt::format("{} of the container's own network has a property that is not known "
                              "(attribute {})",
                              what, attribute.number()));
    if (rule->use != Use::kDropped) kept.push_back(attribute);
  }
  return kept;
}

Result<uint32_t> number_here(const DeviceNumbers& numbers, uint32_t there) {
  if (there == 0) return 0;
  const auto found = numbers.find(there);
  if (found == numbers.end())
    return fail(Code::kBadImage, fmt::format("no network device {}", there));
  return found->second;
}

Result<void> renumber(sys::NetlinkMessage& message, KnownAttributes known,
                      const DeviceNumbers& numbers) {
  for (sys::NetlinkAttribute& attribute : message.attributes) {
    const KnownAttribute* rule = find(known, attribute.number());
    if (rule == nullptr || rule->use == Use::kDropped)
      return fail(Code::kBadImage, "a network object with an unknown attribute");
    if (rule->use == Use::kDevice)
      attribute.value =
          sys::bytes_of(TRY(number_here(numbers, sys::value_of<uint32_t>(attribute.value))));
    if (rule->use == Use::kHops) TRY(renumber_hops(attribute.value, numbers));
  }
  return {};
}

sys::NetlinkMessage inside(const sys::NetlinkMessage& message, uint16_t attribute) {
  const std::string* value = message.find(attribute);
  sys::NetlinkMessage nested;
  if (value != nullptr) nested.attributes = sys::parse_attributes(*value);
  return nested;
}

sys::NetlinkAttribute nested(uint16_t type, const std::vector<sys::NetlinkAttribute>& attributes) {
  return {static_cast<uint16_t>(type | NLA_F_NESTED), sys::join_attributes(attributes)};
}

uint32_t netfilter_number(const sys::NetlinkMessage& message, uint16_t attribute) {
  const std::string* value = message.find(attribute);
  return value == nullptr ? 0 : __builtin_bswap32(sys::value_of<uint32_t>(*value));
}

std::string text_of(const sys::NetlinkMessage& message, uint16_t attribute) {
  const std::string* value = message.find(attribute);
  return value == nullptr ? "" : value->substr(0, value->find('\0'));
}

void put(const sys::NetlinkMessage& message, NetlinkObjects& out) {
  image::NetlinkObject& object = *out.Add();
  object.set_type(message.type);
  object.set_header(message.header);
  put(message.attributes, *object.mutable_attributes());
}

void put(const std::vector<sys::NetlinkAttribute>& attributes, NetlinkAttributes& out) {
  for (const sys::NetlinkAttribute& attribute : attributes) {
    image::NetlinkAttribute& added = *out.Add();
    added.set_type(attribute.type);
    added.set_value(attribute.value);
  }
}

std::vector<sys::NetlinkAttribute> attributes_of(const NetlinkAttributes& in) {
  std::vector<sys::NetlinkAttribute> attributes;
  for (const image::NetlinkAttribute& attribute : in)
    attributes.push_back({static_cast<uint16_t>(attribute.type()), attribute.value()});
  return attributes;
}

sys::NetlinkMessage message_of(const image::NetlinkObject& in) {
  return {static_cast<uint16_t>(in.type()), in.header(), attributes_of(in.attributes())};
}

}  // namespace martlet::engine
