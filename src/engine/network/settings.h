// Files below /proc/sys/net, which belong to a network namespace. All calls are made inside one.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/network.pb.h"

namespace martlet::engine {

using NetworkSettings = std::map<std::string, std::string>;  // by path, those that can be written

// All that there are. Takes long.
Result<NetworkSettings> read_settings();

// The same of a namespace that has these devices, if `fresh` is all that a fresh one has.
NetworkSettings read_settings_of(const std::vector<std::string>& devices,
                                 const NetworkSettings& fresh);

// What differs from the settings of a fresh namespace of the same host; those of a device from
// what a fresh device has.
google::protobuf::RepeatedPtrField<image::NetworkSetting> differing_settings(
    const NetworkSettings& now, const NetworkSettings& fresh);

// Writes what differs here.
Result<void> apply_settings(
    const google::protobuf::RepeatedPtrField<image::NetworkSetting>& settings);

}  // namespace martlet::engine
