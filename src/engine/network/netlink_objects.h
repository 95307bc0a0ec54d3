// Which attributes of the kernel's objects are known, and how they are carried. An object with any
// other attribute is refused by name, in a capture and in an image.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/network.pb.h"
#include "sys/netlink_channel.h"

namespace martlet::engine {

enum class Use {
  kCarried,
  kDevice,   // the index of a device
  kHops,     // several next hops, each with the index of a device
  kDropped,  // tells what happens to be; nothing sets it
};

struct KnownAttribute {
  uint16_t number;
  Use use;
};
using KnownAttributes = std::span<const KnownAttribute>;

using NetlinkObjects = google::protobuf::RepeatedPtrField<image::NetlinkObject>;
using NetlinkAttributes = google::protobuf::RepeatedPtrField<image::NetlinkAttribute>;

// `what` names the object in a refusal.
Result<std::vector<sys::NetlinkAttribute>> keep_known(
    const std::vector<sys::NetlinkAttribute>& attributes, KnownAttributes known,
    std::string_view what);

// The indices of devices where an image was taken, and here.
using DeviceNumbers = std::map<uint32_t, uint32_t>;
Result<uint32_t> number_here(const DeviceNumbers& numbers, uint32_t there);
Result<void> renumber(sys::NetlinkMessage& message, KnownAttributes known,
                      const DeviceNumbers& numbers);

// What is nested in an attribute, as if it were a message; empty without the attribute.
sys::NetlinkMessage inside(const sys::NetlinkMessage& message, uint16_t attribute);
sys::NetlinkAttribute nested(uint16_t type, const std::vector<sys::NetlinkAttribute>& attributes);
// Zero and "" without the attribute. Netfilter's numbers are in network byte order.
uint32_t netfilter_number(const sys::NetlinkMessage& message, uint16_t attribute);
std::string text_of(const sys::NetlinkMessage& message, uint16_t attribute);

void put(const sys::NetlinkMessage& message, NetlinkObjects& out);
void put(const std::vector<sys::NetlinkAttribute>& attributes, NetlinkAttributes& out);
std::vector<sys::NetlinkAttribute> attributes_of(const NetlinkAttributes& in);
sys::NetlinkMessage message_of(const image::NetlinkObject& in);

}  // namespace martlet::engine
