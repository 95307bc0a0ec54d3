#include "sys/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace martlet::sys {
namespace {

using namespace std::chrono_literals;

// Runs a shell script and returns what it wrote to standard output.
std::string output_of(const std::string& script, Program program = {}) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  program.args = {"sh", "-c", script};
  program.descriptors.push_back({writer.get(), 1});
  const auto code = run_program(program, 10s);
  EXPECT_TRUE(code) << code.error().to_string();
  writer.reset();
  std::string text(4096, '\0');
  text.resize(*read_full(reader.get(), std::as_writable_bytes(std::span(text))));
  return text;
}

TEST(Program, ReportsHowItEnded) {
  EXPECT_EQ(*run_program({.args = {"sh", "-c", "exit 7"}}, 10s), 7);
  EXPECT_EQ(*run_program({.args = {"sh", "-c", "kill -9 $$"}}, 10s), 128 + SIGKILL);
}

TEST(Program, NamesAProgramThatDoesNotExist) {
  const auto result = run_program({.args = {"/no/such/program"}}, 10s);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kNotFound);
  EXPECT_NE(result.error().to_string().find("/no/such/program"), std::string::npos);
}

TEST(Program, IsKilledAtTheTimeout) {
  const auto result = run_program({.args = {"sleep", "1000"}}, 10ms);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kTimeout);
}

TEST(Program, GetsItsDescriptorsAndNoOthers) {
  const Fd leaked(open("/dev/zero", O_RDONLY));  // not close-on-exec
  const Fd passed = *open_file("/etc/hostname", O_RDONLY);
  Program program;
  program.descriptors = {{passed.get(), 4}};
  // The shell tests by itself: a pipeline would open descriptors of its own.
  EXPECT_EQ(
      output_of("readlink /proc/$$/fd/0 /proc/$$/fd/3 /proc/$$/fd/4; "
                "for n in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo $n; done; true",
                std::move(program)),
      "/dev/null\n/dev/null\n/etc/hostname\n0\n1\n2\n3\n4\n");
}

TEST(Program, StartsInANewTimeNamespace) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  Program program;
  program.new_time_namespace = ClockOffsets{.monotonic = 90s, .boottime = 1'000'000s};
  const double uptime = std::stod(output_of("cat /proc/uptime", std::move(program)));
  EXPECT_GE(uptime, 1'000'000);
  Program failing{.args = {"/no/such/program"}};
  failing.new_time_namespace = ClockOffsets{};
  EXPECT_EQ(run_program(failing, 10s).error().code(), Code::kNotFound);
  Program exiting{.args = {"sh", "-c", "exit 9"}};
  exiting.new_time_namespace = ClockOffsets{};
  EXPECT_EQ(*run_program(exiting, 10s), 9);
}

TEST(Program, JoinsATimeNamespace) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  Program holder{.args = {"sleep", "1000"}};
  holder.time_namespace = *open_file("/proc/self/ns/time", O_RDONLY);
  const auto running = start_program(holder);
  ASSERT_TRUE(running);
  Program program;
  program.time_namespace = *open_file("/proc/" + to_string(running->pid()) + "/ns/time", O_RDONLY);
  EXPECT_EQ(output_of("readlink /proc/self/ns/time", std::move(program)),
            output_of("readlink /proc/self/ns/time"));
}

TEST(TimeNamespace, ReadsWhatItWrites) {
  for (const ClockOffsets& offsets :
       {ClockOffsets{0s, 0s}, ClockOffsets{5s + 7ns, -3s}, ClockOffsets{-1ns, 1'000'000s}})
    EXPECT_EQ(*parse_clock_offsets(format_clock_offsets(offsets)), offsets);
  EXPECT_EQ(format_clock_offsets({-1ns, 0s}), "monotonic -1 999999999\nboottime 0 0\n");
  EXPECT_FALSE(parse_clock_offsets("monotonic x 0"));
}

TEST(TimeNamespace, OffsetsThatShowTheClocksAsTheyAreAreNone) {
  const auto now = read_clocks(HostPid(getpid()));
  ASSERT_TRUE(now);
  const auto offsets = offsets_to_show(*now);
  ASSERT_TRUE(offsets);
  const auto own = read_clock_offsets(HostPid(getpid()));
  EXPECT_LT(std::chrono::abs(offsets->monotonic - own->monotonic), 1s);
}

}  // namespace
}  // namespace martlet::sys
