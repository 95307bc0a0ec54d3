#include "migrate/requirements.h"

#include <gmock/gmock.h>

#include "image/stream.h"
#include "migrate/test_util.h"

namespace martlet::migrate {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

HostCapabilities capable_host() {
  return {.cpu_flags = {"avx2", "avx512f", "sse2"},
          .xsave_features = 0xe7,
          .kernel_features = {"TCP_REPAIR", "time namespaces"},
          .free_memory_bytes = 1 << 30,
          .free_disk_bytes = 1 << 30,
          .free_huge_page_bytes = {}};
}

protocol::Requirements modest_requirements() {
  protocol::Requirements requirements;
  requirements.set_image_version(image::kFormatVersion);
  requirements.add_cpu_flags("avx512f");
  requirements.set_xsave_features(0xe7);
  requirements.add_kernel_features("TCP_REPAIR");
  requirements.set_memory_bytes(1 << 20);
  requirements.set_disk_bytes(1 << 20);
  return requirements;
}

TEST(Requirements, TakesInstructionsAndLeavesTheRest) {
  EXPECT_THAT(
      instruction_set_flags("processor : 0\nflags\t\t: fpu vme avx2 hypervisor avx512f nx\n"),
      ElementsAre("avx2", "avx512f"));
  EXPECT_THAT(instruction_set_flags(""), IsEmpty());
}

TEST(Requirements, ACapableHostLacksNothing) {
  EXPECT_THAT(find_missing(modest_requirements(), capable_host(), ""), IsEmpty());
}

TEST(Requirements, MissingInstructionsAreNamed) {
  HostCapabilities host = capable_host();
  host.cpu_flags = {"avx2", "sse2"};
  host.xsave_features = 0x7;
  EXPECT_THAT(find_missing(modest_requirements(), host, ""),
              ElementsAre(HasSubstr("avx512f"), HasSubstr("0xe0")));
}

TEST(Requirements, EverythingThatIsMissingIsListed) {
  protocol::Requirements requirements = modest_requirements();
  requirements.add_kernel_features("userfaultfd");
  requirements.set_memory_bytes(uint64_t{2} << 30);
  requirements.set_disk_bytes(uint64_t{3} << 30);
  requirements.set_image_version(image::kFormatVersion + 1);
  EXPECT_THAT(find_missing(requirements, capable_host(), ""),
              ElementsAre(HasSubstr("image format"), HasSubstr("userfaultfd"),
                          AllOf(HasSubstr("memory"), HasSubstr("2048.0 MiB needed")),
                          AllOf(HasSubstr("disk"), HasSubstr("3072.0 MiB needed"))));
}

TEST(Requirements, HugePagesAreAskedForByTheirSize) {
  protocol::Requirements requirements = modest_requirements();
  auto* wanted = requirements.add_huge_pages();
  wanted->set_bits(21);
  wanted->set_bytes(4 << 20);
  HostCapabilities host = capable_host();
  host.free_huge_page_bytes = {{21, 4 << 20}};
  EXPECT_THAT(find_missing(requirements, host, ""), IsEmpty());
  host.free_huge_page_bytes = {{21, 2 << 20}, {30, 1 << 30}};
  EXPECT_THAT(find_missing(requirements, host, ""),
              ElementsAre(AllOf(HasSubstr("2.0 MiB in huge pages of 2.0 MiB are free"),
                                HasSubstr("4.0 MiB needed"))));
}

TEST(Requirements, AnotherBaseLayerIsNamed) {
  TemporaryDirectory base;
  write_text(base / "program", "version 2");
  protocol::Requirements requirements = modest_requirements();
  auto* other = requirements.add_base_files();
  other->set_path("/program");
  other->set_size(3);
  requirements.add_base_files()->set_path("/library");
  EXPECT_THAT(find_missing(requirements, capable_host(), base.path()),
              ElementsAre(HasSubstr("another version of /program"), HasSubstr("lacks /library")));
}

TEST(Requirements, ThisHostIsCapableOfItself) {
  auto own = must(read_capabilities("/tmp"));
  EXPECT_GT(own.free_memory_bytes, 0u);
  EXPECT_NE(own.xsave_features & 3, 0u);
  EXPECT_THAT(own.kernel_features, ::testing::Not(IsEmpty()));
}

}  // namespace
}  // namespace martlet::migrate
