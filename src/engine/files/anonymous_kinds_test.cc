// eventfd, signalfd, timerfd and epoll.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <set>

#include "engine/files/event_kind.h"
#include "engine/files/kind_test_util.h"

namespace martlet::engine {
namespace {

using EventTest = KindTest;
using SignalTest = KindTest;
using TimerTest = KindTest;
using EpollTest = KindTest;

TEST_F(EventTest, keeps_count_and_semaphore_mode) {
  Fd plain(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Fd semaphore(::eventfd(3, EFD_CLOEXEC | EFD_SEMAPHORE));
  ASSERT_EQ(::eventfd_write(plain.get(), 0x123456789abcdef0), 0);
  ASSERT_OK(capture({plain.get(), semaphore.get()}));
  ASSERT_OK(restore());
  eventfd_t count = 0;
  ASSERT_EQ(::eventfd_read(restored(plain.get()), &count), 0);
  EXPECT_EQ(count, 0x123456789abcdef0);
  EXPECT_TRUE(::fcntl(restored(plain.get()), F_GETFL) & O_NONBLOCK);
  ASSERT_EQ(::eventfd_read(restored(semaphore.get()), &count), 0);
  EXPECT_EQ(count, 1u);
  EXPECT_FALSE(::fcntl(restored(semaphore.get()), F_GETFL) & O_NONBLOCK);
}

TEST_F(EventTest, tells_a_semaphore_without_help_of_the_kernel) {
  for (uint64_t count : {uint64_t{0}, uint64_t{1}, uint64_t{7}, ~uint64_t{1}})
    for (int flags : {0, int{EFD_SEMAPHORE}}) {
      Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | flags));
      if (count > 0) {
        ASSERT_EQ(::eventfd_write(fd.get(), count), 0);
      }
      OpenFile file;
      file.fd = fd.get();
      file.info = fmt::format("eventfd-count: {:16x}\n", count);
      image::File out;
      ASSERT_OK(event_kind().capture(*capture_context_, file, out));
      EXPECT_EQ(out.event().semaphore(), flags != 0) << count;
      std::string info = *read_file("/proc/self/fdinfo/" + std::to_string(fd.get()));
      EXPECT_NE(info.find(file.info), std::string::npos) << info;
    }
}

TEST_F(SignalTest, keeps_mask) {
  sigset_t mask;
  ::sigemptyset(&mask);
  ::sigaddset(&mask, SIGUSR1);
  ::sigaddset(&mask, SIGRTMAX);
  Fd fd(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  ::raise(SIGRTMAX);
  signalfd_siginfo info{};
  ASSERT_EQ(::read(restored(fd.get()), &info, sizeof info), ssize_t{sizeof info});
  EXPECT_EQ(info.ssi_signo, static_cast<uint32_t>(SIGRTMAX));
}

itimerspec remaining(int fd) {
  itimerspec value{};
  EXPECT_EQ(::timerfd_gettime(fd, &value), 0);
  return value;
}

TEST_F(TimerTest, keeps_remaining_time_and_interval) {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  itimerspec value{{5, 6}, {1000, 0}};
  ASSERT_EQ(::timerfd_settime(fd.get(), 0, &value, nullptr), 0);
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  itimerspec now = remaining(restored(fd.get()));
  EXPECT_GE(now.it_value.tv_sec, 990);
  EXPECT_LE(now.it_value.tv_sec, 1000);
  EXPECT_EQ(now.it_interval.tv_sec, 5);
  EXPECT_EQ(now.it_interval.tv_nsec, 6);
}

TEST_F(TimerTest, keeps_unread_expirations) {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  itimerspec value{{0, 0}, {0, 1}};
  ASSERT_EQ(::timerfd_settime(fd.get(), 0, &value, nullptr), 0);
  pollfd expired{fd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&expired, 1, 10'000), 1);
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  uint64_t ticks = 0;
  ASSERT_EQ(::read(restored(fd.get()), &ticks, sizeof ticks), ssize_t{sizeof ticks});
  EXPECT_EQ(ticks, 1u);
  EXPECT_EQ(remaining(restored(fd.get())).it_value.tv_nsec, 0);
}

TEST_F(TimerTest, periodic_timer_that_expired_goes_on) {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  itimerspec value{{3600, 0}, {0, 1}};
  ASSERT_EQ(::timerfd_settime(fd.get(), 0, &value, nullptr), 0);
  pollfd expired{fd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&expired, 1, 10'000), 1);
  ASSERT_OK(capture({fd.get()}));
  ASSERT_OK(restore());
  EXPECT_GT(remaining(restored(fd.get())).it_value.tv_sec, 3500);
  EXPECT_EQ(record(fd.get()).timer().ticks(), 1u);
}

TEST_F(TimerTest, absolute_real_time_stays_absolute) {
  Fd fd(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC));
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  itimerspec value{{0, 0}, {now.tv_sec + 500, 0}};
  ASSERT_EQ(::timerfd_settime(fd.get(), TFD_TIMER_ABSTIME, &value, nullptr), 0);
  ASSERT_OK(capture({fd.get()}));
  EXPECT_NEAR(static_cast<double>(record(fd.get()).timer().deadline_ns()),
              static_cast<double>(value.it_value.tv_sec) * 1e9, 1e7);
  ASSERT_OK(restore());
  EXPECT_LE(remaining(restored(fd.get())).it_value.tv_sec, 500);
}

TEST_F(TimerTest, refuses_values_out_of_range) {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  ASSERT_OK(capture({fd.get()}));
  record(fd.get()).mutable_timer()->set_interval_ns(-1);
  EXPECT_FALSE(restore().has_value());
}

void watch(int epoll, int fd, uint32_t events, uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  ASSERT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
}

std::set<uint64_t> ready(int epoll) {
  epoll_event events[16];
  int count = ::epoll_wait(epoll, events, 16, 0);
  std::set<uint64_t> data;
  for (int i = 0; i < count; ++i) data.insert(events[i].data.u64);
  return data;
}

std::string watches_of(int epoll) {
  return *read_file("/proc/self/fdinfo/" + std::to_string(epoll));
}

TEST_F(EpollTest, watches_the_restored_descriptions) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  Fd quiet(::eventfd(0, EFD_CLOEXEC)), loud(::eventfd(1, EFD_CLOEXEC));
  watch(epoll.get(), quiet.get(), EPOLLIN, 11);
  watch(epoll.get(), loud.get(), EPOLLIN, 22);
  ASSERT_OK(capture({epoll.get(), quiet.get(), loud.get()}));
  ASSERT_OK(restore());
  int copy = restored(epoll.get());
  EXPECT_EQ(ready(copy), std::set<uint64_t>{22});
  ASSERT_EQ(::eventfd_write(quiet.get(), 1), 0);
  EXPECT_EQ(ready(copy), std::set<uint64_t>{22});
  ASSERT_EQ(::eventfd_write(restored(quiet.get()), 1), 0);
  EXPECT_EQ(ready(copy), (std::set<uint64_t>{11, 22}));
}

TEST_F(EpollTest, finds_the_description_of_a_reused_number) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  Fd first(::eventfd(0, EFD_CLOEXEC));
  int number = first.get();
  watch(epoll.get(), number, EPOLLIN, 1);
  Fd elsewhere = *first.duplicate();
  first = Fd(::eventfd(0, EFD_CLOEXEC));  // takes another number before the first is closed,
  Fd second(::fcntl(first.get(), F_DUPFD_CLOEXEC, 0));
  ASSERT_EQ(second.get(), number);  // but this is the first one's number again
  watch(epoll.get(), second.get(), EPOLLIN, 2);
  ASSERT_OK(capture({epoll.get(), elsewhere.get(), second.get()}));
  ASSERT_OK(restore());
  int copy = restored(epoll.get());
  ASSERT_EQ(::eventfd_write(restored(elsewhere.get()), 1), 0);
  EXPECT_EQ(ready(copy), std::set<uint64_t>{1});
  ASSERT_EQ(::eventfd_write(restored(second.get()), 1), 0);
  EXPECT_EQ(ready(copy), (std::set<uint64_t>{1, 2}));
}

TEST_F(EpollTest, nests) {
  Fd outer(::epoll_create1(EPOLL_CLOEXEC)), inner(::epoll_create1(EPOLL_CLOEXEC));
  Fd event(::eventfd(1, EFD_CLOEXEC));
  watch(outer.get(), inner.get(), EPOLLIN, 5);
  watch(inner.get(), event.get(), EPOLLIN, 6);
  ASSERT_OK(capture({outer.get(), inner.get(), event.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(ready(restored(outer.get())), std::set<uint64_t>{5});
}

TEST_F(EpollTest, keeps_disabled_oneshot_entries) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  Fd event(::eventfd(1, EFD_CLOEXEC));
  watch(epoll.get(), event.get(), EPOLLIN | EPOLLONESHOT, 9);
  ASSERT_EQ(ready(epoll.get()), std::set<uint64_t>{9});
  ASSERT_OK(capture({epoll.get(), event.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(ready(restored(epoll.get())), std::set<uint64_t>{});
  EXPECT_NE(watches_of(restored(epoll.get())).find("events: 40000000"), std::string::npos);
}

TEST_F(EpollTest, refuses_a_file_that_nobody_in_the_group_has) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  Fd event(::eventfd(1, EFD_CLOEXEC));
  watch(epoll.get(), event.get(), EPOLLIN, 9);
  auto captured = capture({epoll.get()});
  ASSERT_FALSE(captured.has_value());
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
}

TEST_F(EpollTest, watches_many_sockets) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  std::vector<Fd> events;
  std::vector<int> all{epoll.get()};
  for (uint64_t i = 0; i < 200; ++i) {
    events.emplace_back(::eventfd(i % 2, EFD_CLOEXEC));
    watch(epoll.get(), events.back().get(), EPOLLIN | EPOLLET, i);
    all.push_back(events.back().get());
  }
  ASSERT_OK(capture(all));
  ASSERT_OK(restore());
  for (const Fd& event : events) {
    std::string line = "tfd: " + std::string(8 - std::to_string(event.get()).size(), ' ') +
                       std::to_string(event.get()) + " ";
    EXPECT_NE(watches_of(restored(epoll.get())).find(line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace martlet::engine
