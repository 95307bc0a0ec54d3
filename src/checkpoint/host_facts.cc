#include "checkpoint/host_facts.h"

#include <cpuid.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>

#include "image/stream.h"

namespace martlet::checkpoint {
namespace {

constexpr char kProduct[] = "martlet 0.1.0";

int64_t now(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

uint64_t xsave_features() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kOsXsave = 1u << 27;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kOsXsave) == 0) return 0;
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

Result<image::Header> make_header(bool container, const sys::ClockReading& clocks,
                                  uint32_t page_lanes) {
  uint64_t id = 0;
  if (::getrandom(&id, sizeof id, 0) != sizeof id) return fail_errno("draw an image's id");
  image::Header header;
  header.set_version(image::kFormatVersion);
  header.set_product(kProduct);
  utsname host{};
  if (::uname(&host) == 0) header.set_kernel(host.release);
  header.set_captured_at_ns(now(CLOCK_REALTIME));
  header.set_monotonic_ns(clocks.monotonic.count());
  header.set_boottime_ns(clocks.boottime.count());
  header.set_container(container);
  header.set_xsave_features(xsave_features());
  header.set_image_id(id);
  header.set_page_lanes(page_lanes);
  return header;
}

Result<void> check_header(const image::Header& header) {
  if (header.version() > image::kFormatVersion)
    return std::unexpected(
        Error(Code::kBadImage, fmt::format("the image has version {}, this program reads up to {}",
                                           header.version(), image::kFormatVersion))
            .with_remedy("restore with " + header.product() + " or newer"));
  return {};
}

}  // namespace martlet::checkpoint
