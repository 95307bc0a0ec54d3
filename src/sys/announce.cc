#include "sys/announce.h"

#include <fmt/format.h>

#include "sys/ethernet_frame.h"
#include "sys/packet_socket.h"

namespace martlet::sys {

Result<void> announce_address(const std::string& link, const MacAddress& mac,
                              const IpAddress& address) {
  auto socket = TRY(PacketSocket::open_for_sending(link));
  return in_context(socket.send(make_announcement(mac, address)),
                    fmt::format("announcement of {}", to_string(address)));
}

}  // namespace martlet::sys
