#include "migrate/detour.h"

namespace martlet::migrate {

namespace {

// A bridge takes the lowest address of its ports as its own. This one is as high as that of the
// container's port and differs from it.
sys::MacAddress address_beside(sys::MacAddress station) {
  station.bytes[0] = 0xfe;
  station.bytes[5] ^= 2;
  return station;
}

}  // namespace

Result<std::unique_ptr<Detour>> Detour::open(const NetworkPort& port, Side side) {
  auto netlink = TRY(sys::Netlink::open());
  auto tap = TRY(sys::Tap::create(static_cast<char>(side) + port.host_interface));
  std::unique_ptr<Detour> made(new Detour(port, std::move(netlink), std::move(tap)));
  TRY(made->set_up());
  return made;
}

Result<void> Detour::set_up() {
  const std::string& link = tap_.link();
  TRY(netlink_.disable_autoconfiguration(link));
  TRY(netlink_.set_mac(link, address_beside(port_.mac)));
  // A bridge takes the smallest MTU of its ports.
  TRY(netlink_.set_mtu(link, TRY(netlink_.mtu_of(port_.host_interface))));
  TRY(netlink_.set_master(link, port_.bridge));
  TRY(netlink_.set_flooding(link, Flooding::kNone));
  return netlink_.set_up(link);
}

Result<void> Detour::begin(Flooding flooding) {
  TRY(netlink_.set_flooding(tap_.link(), flooding));
  return netlink_.direct_station(port_.mac, tap_.link(), sys::Netlink::Learning::kNo);
}

Result<void> Detour::end() {
  TRY(netlink_.set_flooding(tap_.link(), Flooding::kNone));
  return netlink_.direct_station(port_.mac, port_.host_interface, sys::Netlink::Learning::kYes);
}

Result<void> Detour::release() {
  TRY(netlink_.set_flooding(tap_.link(), Flooding::kNone));
  return netlink_.forget_station(port_.mac, tap_.link());
}

}  // namespace martlet::migrate
