#include "engine/network/old_tables.h"

#include <fmt/format.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <set>
#include <sstream>
#include <vector>

#include "base/fd.h"
#include "engine/network/extensions.h"
#include "sys/netlink_channel.h"

namespace martlet::engine {
namespace {

// What is different between IPv4 and IPv6 is the begin of a rule.
struct Family {
  int domain, level;
  const char* list;  // of the names of its tables
  size_t entry_size, target_at, next_at, counters_at;
};
constexpr Family kIpv4 = {AF_INET,
                          IPPROTO_IP,
                          "net/ip_tables_names",
                          sizeof(ipt_entry),
                          offsetof(ipt_entry, target_offset),
                          offsetof(ipt_entry, next_offset),
                          offsetof(ipt_entry, counters)};
constexpr Family kIpv6 = {AF_INET6,
                          IPPROTO_IPV6,
                          "net/ip6_tables_names",
                          sizeof(ip6t_entry),
                          offsetof(ip6t_entry, target_offset),
                          offsetof(ip6t_entry, next_offset),
                          offsetof(ip6t_entry, counters)};
static_assert(sizeof(ipt_getinfo) == sizeof(ip6t_getinfo) &&
              sizeof(ipt_replace) == sizeof(ip6t_replace) &&
              offsetof(ipt_get_entries, entrytable) == offsetof(ip6t_get_entries, entrytable));
static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES &&
              IPT_SO_SET_REPLACE == IP6T_SO_SET_REPLACE &&
              IPT_SO_SET_ADD_COUNTERS == IP6T_SO_SET_ADD_COUNTERS);

std::unexpected<Error> impossible() {
  return fail(Code::kBadImage, "a table of iptables-legacy that is not possible");
}

template <typename T>
Result<T> read_at(std::string_view bytes, size_t at) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return impossible();
  return sys::value_of<T>(bytes.substr(at, sizeof(T)));
}

// A match and a target begin with the same structure: its size with what follows, and its name.
Result<size_t> check_part(std::string_view rule, size_t at, ExtensionKind kind) {
  const auto head = TRY(read_at<xt_entry_target>(rule, at));
  const size_t size = head.u.user.target_size;
  const std::string_view name(head.u.user.name,
                              ::strnlen(head.u.user.name, sizeof head.u.user.name));
  if (size < sizeof head || size > rule.size() - at) return impossible();
  const bool is_standard =
      kind == ExtensionKind::kTarget && (name == XT_STANDARD_TARGET || name == XT_ERROR_TARGET);
  if (!is_standard) TRY(check_extension(kind, name));
  return size;
}

Result<void> check_rule(const Family& family, std::string_view rule) {
  const size_t target = TRY(read_at<uint16_t>(rule, family.target_at));
  if (target < family.entry_size || target > rule.size()) return impossible();
  for (size_t at = family.entry_size; at < target;)
    at += TRY(check_part(rule.substr(0, target), at, ExtensionKind::kMatch));
  TRY(check_part(rule, target, ExtensionKind::kTarget));
  return {};
}

// Also of an image, which may hold anything: the kernel looks for extensions by these names.
Result<std::vector<xt_counters>> check_rules(const Family& family, std::string_view rules) {
  std::vector<xt_counters> counters;
  for (size_t at = 0; at < rules.size();) {
    const size_t size = TRY(read_at<uint16_t>(rules, at + family.next_at));
    if (size < family.entry_size || size > rules.size() - at) return impossible();
    const std::string_view rule = rules.substr(at, size);
    TRY(check_rule(family, rule));
    counters.push_back(TRY(read_at<xt_counters>(rule, family.counters_at)));
    at += size;
  }
  return counters;
}

// One table in the namespace of the thread.
class Table {
 public:
  // The kernel makes the table if there is none yet.
  static Result<Table> open(const Family& family, const std::string& name) {
    Table table(family, Fd(::socket(family.domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)));
    if (!table.socket_.valid()) return fail_errno("a socket for iptables-legacy");
    if (name.size() >= sizeof table.info_.name) return impossible();
    name.copy(table.info_.name, sizeof table.info_.name);
    socklen_t size = sizeof table.info_;
    if (::getsockopt(table.socket_.get(), family.level, IPT_SO_GET_INFO, &table.info_, &size) != 0)
      return errno == ENOPROTOOPT || errno == ENOENT
                 ? Result<Table>(fail(Code::kUnsupported, "the kernel lacks iptables-legacy"))
                 : fail_errno("table of iptables-legacy");
    return table;
  }

  Result<image::OldTable> describe() const {
    std::string bytes(sizeof(ipt_get_entries) + info_.size, '\0');
    ipt_get_entries question{};
    std::ranges::copy(info_.name, question.name);
    question.size = info_.size;
    bytes.replace(0, sizeof question, sys::bytes_of(question));
    auto size = static_cast<socklen_t>(bytes.size());
    if (::getsockopt(socket_.get(), family_.level, IPT_SO_GET_ENTRIES, bytes.data(), &size) != 0)
      return fail_errno("rules of iptables-legacy");
    image::OldTable out;
    out.set_is_ipv6(family_.domain == AF_INET6);
    out.set_name(info_.name);
    out.set_valid_hooks(info_.valid_hooks);
    out.mutable_hook_entries()->Add(std::begin(info_.hook_entry), std::end(info_.hook_entry));
    out.mutable_underflows()->Add(std::begin(info_.underflow), std::end(info_.underflow));
    out.set_entries(bytes.substr(offsetof(ipt_get_entries, entrytable)));
    return out;
  }

  Result<void> replace_by(const image::OldTable& wanted, size_t count) const {
    if (wanted.hook_entries_size() != NF_INET_NUMHOOKS ||
        wanted.underflows_size() != NF_INET_NUMHOOKS)
      return impossible();
    std::vector<xt_counters> former(info_.num_entries);
    ipt_replace head{};
    std::ranges::copy(info_.name, head.name);
    head.valid_hooks = wanted.valid_hooks();
    head.num_entries = static_cast<unsigned>(count);
    head.size = static_cast<unsigned>(wanted.entries().size());
    std::ranges::copy(wanted.hook_entries(), head.hook_entry);
    std::ranges::copy(wanted.underflows(), head.underflow);
    head.num_counters = info_.num_entries;
    head.counters = former.data();
    return set(IPT_SO_SET_REPLACE, sys::bytes_of(head) + wanted.entries());
  }

  Result<void> add(const std::vector<xt_counters>& counters) const {
    xt_counters_info head{};
    std::ranges::copy(info_.name, head.name);
    head.num_counters = static_cast<unsigned>(counters.size());
    std::string bytes = sys::bytes_of(head);
    for (const xt_counters& counter : counters) bytes += sys::bytes_of(counter);
    return set(IPT_SO_SET_ADD_COUNTERS, bytes);
  }

 private:
  Table(const Family& family, Fd socket) : family_(family), socket_(std::move(socket)) {}

  Result<void> set(int option, const std::string& bytes) const {
    if (::setsockopt(socket_.get(), family_.level, option, bytes.data(),
                     static_cast<socklen_t>(bytes.size())) != 0)
      return fail_errno(fmt::format("table {} of iptables-legacy", info_.name));
    return {};
  }

  const Family& family_;
  Fd socket_;
  ipt_getinfo info_{};
};

// None where the kernel lacks them. Which was made last does not matter.
std::set<std::string> table_names(const char* list) {
  std::istringstream names(read_file(fmt::format("/proc/thread-self/{}", list)).value_or(""));
  return {std::istream_iterator<std::string>(names), {}};
}

Result<void> capture(CaptureContext& context, const Family& family, image::Network& out) {
  for (const std::string& name : table_names(family.list))
    TRY(context.judge([&]() -> Result<void> {
      image::OldTable table = TRY(TRY(Table::open(family, name)).describe());
      TRY(check_rules(family, table.entries()));
      *out.add_old_tables() = std::move(table);
      return {};
    }()));
  return {};
}

}  // namespace

Result<void> capture_old_tables(CaptureContext& context, image::Network& out) {
  TRY(capture(context, kIpv4, out));
  TRY(capture(context, kIpv6, out));
  if (table_names("net/arp_tables_names").empty()) return {};
  return context.judge(refuse_in_filter("tables of arptables-legacy, which are not supported"));
}

Result<void> apply_old_tables(const image::Network& network) {
  for (const image::OldTable& table : network.old_tables()) {
    const Family& family = table.is_ipv6() ? kIpv6 : kIpv4;
    const std::vector<xt_counters> counters = TRY(check_rules(family, table.entries()));
    const Table here = TRY(Table::open(family, table.name()));
    TRY(here.replace_by(table, counters.size()));
    TRY(here.add(counters));
  }
  return {};
}

}  // namespace martlet::engine
