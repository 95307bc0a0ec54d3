#include "engine/network/ruleset.h"

#include <fmt/format.h>
#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <vector>

#include "engine/network/extensions.h"
#include "engine/network/netlink_objects.h"

namespace martlet::engine {
namespace {

using sys::NetlinkAttribute;
using sys::NetlinkChannel;
using sys::NetlinkMessage;

constexpr uint16_t type_of(int message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

constexpr KnownAttribute kTableAttributes[] = {
    {NFTA_TABLE_NAME, Use::kCarried}, {NFTA_TABLE_FLAGS, Use::kCarried},
    {NFTA_TABLE_USE, Use::kDropped},  {NFTA_TABLE_HANDLE, Use::kDropped},
    {NFTA_TABLE_PAD, Use::kDropped},  {NFTA_TABLE_USERDATA, Use::kCarried},
};

constexpr KnownAttribute kChainAttributes[] = {
    {NFTA_CHAIN_TABLE, Use::kCarried},    {NFTA_CHAIN_HANDLE, Use::kDropped},
    {NFTA_CHAIN_NAME, Use::kCarried},     {NFTA_CHAIN_HOOK, Use::kCarried},
    {NFTA_CHAIN_POLICY, Use::kCarried},   {NFTA_CHAIN_USE, Use::kDropped},
    {NFTA_CHAIN_TYPE, Use::kCarried},     {NFTA_CHAIN_COUNTERS, Use::kCarried},
    {NFTA_CHAIN_PAD, Use::kDropped},      {NFTA_CHAIN_FLAGS, Use::kCarried},
    {NFTA_CHAIN_USERDATA, Use::kCarried},
};

constexpr uint16_t kSetType = 19, kSetCount = 20;  // NFTA_SET_TYPE, NFTA_SET_COUNT: Linux 6.15

constexpr KnownAttribute kSetAttributes[] = {
    {NFTA_SET_TABLE, Use::kCarried},    {NFTA_SET_NAME, Use::kCarried},
    {NFTA_SET_FLAGS, Use::kCarried},    {NFTA_SET_KEY_TYPE, Use::kCarried},
    {NFTA_SET_KEY_LEN, Use::kCarried},  {NFTA_SET_DATA_TYPE, Use::kCarried},
    {NFTA_SET_DATA_LEN, Use::kCarried}, {NFTA_SET_POLICY, Use::kCarried},
    {NFTA_SET_DESC, Use::kCarried},     {NFTA_SET_ID, Use::kDropped},
    {NFTA_SET_TIMEOUT, Use::kCarried},  {NFTA_SET_GC_INTERVAL, Use::kCarried},
    {NFTA_SET_USERDATA, Use::kCarried}, {NFTA_SET_PAD, Use::kDropped},
    {NFTA_SET_OBJ_TYPE, Use::kCarried}, {NFTA_SET_HANDLE, Use::kDropped},
    {NFTA_SET_EXPR, Use::kCarried},     {NFTA_SET_EXPRESSIONS, Use::kCarried},
    {kSetType, Use::kDropped},          {kSetCount, Use::kDropped},
};

constexpr KnownAttribute kElementAttributes[] = {
    {NFTA_SET_ELEM_LIST_TABLE, Use::kCarried},
    {NFTA_SET_ELEM_LIST_SET, Use::kCarried},
    {NFTA_SET_ELEM_LIST_ELEMENTS, Use::kCarried},
    {NFTA_SET_ELEM_LIST_SET_ID, Use::kDropped},
};

constexpr KnownAttribute kObjectAttributes[] = {
    {NFTA_OBJ_TABLE, Use::kCarried}, {NFTA_OBJ_NAME, Use::kCarried},
    {NFTA_OBJ_TYPE, Use::kCarried},  {NFTA_OBJ_DATA, Use::kCarried},
    {NFTA_OBJ_USE, Use::kDropped},   {NFTA_OBJ_HANDLE, Use::kDropped},
    {NFTA_OBJ_PAD, Use::kDropped},   {NFTA_OBJ_USERDATA, Use::kCarried},
};

constexpr KnownAttribute kRuleAttributes[] = {
    {NFTA_RULE_TABLE, Use::kCarried},    {NFTA_RULE_CHAIN, Use::kCarried},
    {NFTA_RULE_HANDLE, Use::kDropped},   {NFTA_RULE_EXPRESSIONS, Use::kCarried},
    {NFTA_RULE_POSITION, Use::kDropped}, {NFTA_RULE_USERDATA, Use::kCarried},
    {NFTA_RULE_PAD, Use::kDropped},      {NFTA_RULE_COMPAT, Use::kCarried},
};

// In the order in which they are made: rules refer to all others, elements of maps to chains and
// objects.
struct Part {
  const char* name;
  int make, ask;
  KnownAttributes known;
};
constexpr Part kTables = {"a table", NFT_MSG_NEWTABLE, NFT_MSG_GETTABLE, kTableAttributes};
constexpr Part kChains = {"a chain", NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN, kChainAttributes};
constexpr Part kObjects = {"an object", NFT_MSG_NEWOBJ, NFT_MSG_GETOBJ, kObjectAttributes};
constexpr Part kSets = {"a set", NFT_MSG_NEWSET, NFT_MSG_GETSET, kSetAttributes};
constexpr Part kElements = {"an element", NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM,
                            kElementAttributes};
constexpr Part kRules = {"a rule", NFT_MSG_NEWRULE, NFT_MSG_GETRULE, kRuleAttributes};
constexpr std::array<const Part*, 6> kParts = {&kTables, &kChains,   &kObjects,
                                               &kSets,   &kElements, &kRules};

// What rules are made of, beside extensions of iptables; all others are refused.
constexpr std::array<std::string_view, 33> kExpressions = {
    "bitwise", "byteorder", "cmp",    "connlimit", "counter", "ct",        "dup",
    "dynset",  "exthdr",    "fib",    "fwd",       "hash",    "immediate", "last",
    "limit",   "log",       "lookup", "masq",      "meta",    "nat",       "notrack",
    "numgen",  "objref",    "osf",    "payload",   "queue",   "quota",     "range",
    "redir",   "reject",    "rt",     "socket",    "tproxy"};

NetlinkMessage question(int ask, uint8_t family, std::vector<NetlinkAttribute> attributes = {}) {
  const nfgenmsg header{.nfgen_family = family, .version = NFNETLINK_V0, .res_id = 0};
  return {
      .type = type_of(ask), .header = sys::bytes_of(header), .attributes = std::move(attributes)};
}

std::vector<NetlinkMessage> expressions_of(const NetlinkMessage& rule) {
  std::vector<NetlinkMessage> expressions;
  const NetlinkMessage list = inside(rule, NFTA_RULE_EXPRESSIONS);
  for (const NetlinkAttribute& element : list.attributes)
    expressions.push_back(
        {.type = 0, .header = {}, .attributes = sys::parse_attributes(element.value)});
  return expressions;
}

bool is_extension(const NetlinkMessage& expression) {
  const std::string name = text_of(expression, NFTA_EXPR_NAME);
  return name == "match" || name == "target";
}

// iptables for ARP and for bridges has extensions of the same names and other contents.
Result<void> check_expression(const NetlinkMessage& expression, uint8_t family) {
  const std::string name = text_of(expression, NFTA_EXPR_NAME);
  if (is_extension(expression)) {
    if (family != NFPROTO_IPV4 && family != NFPROTO_IPV6)
      return refuse_in_filter("a rule of arptables or ebtables, which is not supported");
    return check_extension(name == "match" ? ExtensionKind::kMatch : ExtensionKind::kTarget,
                           text_of(inside(expression, NFTA_EXPR_DATA), NFTA_TARGET_NAME));
  }
  if (std::ranges::find(kExpressions, name) == kExpressions.end())
    return refuse_in_filter(
        fmt::format("a rule with the expression \"{}\", which is not supported", name));
  return {};
}

Result<void> check_rule(const NetlinkMessage& rule) {
  const auto family = sys::value_of<nfgenmsg>(rule.header).nfgen_family;
  for (const NetlinkMessage& expression : expressions_of(rule))
    TRY(check_expression(expression, family));
  return {};
}

Result<void> check(const Part& part, const NetlinkMessage& message) {
  if (&part == &kTables &&
      (netfilter_number(message, NFTA_TABLE_FLAGS) & ~NFT_TABLE_F_DORMANT) != 0)
    return refuse_in_filter(
        fmt::format("the table {}, which belongs to a process", text_of(message, NFTA_TABLE_NAME)));
  if (&part == &kChains && (netfilter_number(message, NFTA_CHAIN_FLAGS) & ~NFT_CHAIN_BASE) != 0)
    return refuse_in_filter(fmt::format("the chain {}, which is anonymous or the hardware's",
                                        text_of(message, NFTA_CHAIN_NAME)));
  return &part == &kRules ? check_rule(message) : Result<void>();
}

bool loads_protocol(const NetlinkMessage& expression) {
  const std::string name = text_of(expression, NFTA_EXPR_NAME);
  const NetlinkMessage data = inside(expression, NFTA_EXPR_DATA);
  if (name == "meta") return netfilter_number(data, NFTA_META_KEY) == NFT_META_L4PROTO;
  return name == "payload" &&
         netfilter_number(data, NFTA_PAYLOAD_BASE) == NFT_PAYLOAD_NETWORK_HEADER &&
         netfilter_number(data, NFTA_PAYLOAD_OFFSET) == offsetof(iphdr, protocol) &&
         netfilter_number(data, NFTA_PAYLOAD_LEN) == sizeof(iphdr::protocol);
}

// Extensions are made for the one protocol that a rule is for. The kernel takes it beside the
// expressions, and tells it as they do: by a comparison.
std::vector<NetlinkAttribute> protocol_of(const NetlinkMessage& rule) {
  const std::vector<NetlinkMessage> expressions = expressions_of(rule);
  if (std::ranges::none_of(expressions, is_extension)) return {};
  const auto load = std::ranges::find_if(expressions, loads_protocol);
  if (load == expressions.end() || std::next(load) == expressions.end()) return {};
  const NetlinkMessage comparison = inside(*std::next(load), NFTA_EXPR_DATA);
  const NetlinkMessage data = inside(comparison, NFTA_CMP_DATA);
  const std::string* protocol = data.find(NFTA_DATA_VALUE);
  if (text_of(*std::next(load), NFTA_EXPR_NAME) != "cmp" || protocol == nullptr) return {};
  const bool is_inverse = netfilter_number(comparison, NFTA_CMP_OP) == NFT_CMP_NEQ;
  const uint32_t number = sys::value_of<uint8_t>(*protocol);
  const uint32_t flags = is_inverse ? NFT_RULE_COMPAT_F_INV : 0;
  return {nested(NFTA_RULE_COMPAT,
                 {{NFTA_RULE_COMPAT_PROTO, sys::bytes_of(__builtin_bswap32(number))},
                  {NFTA_RULE_COMPAT_FLAGS, sys::bytes_of(__builtin_bswap32(flags))}})};
}

bool is_empty_list(const NetlinkMessage& message) {
  const std::string* elements = message.find(NFTA_SET_ELEM_LIST_ELEMENTS);
  return elements == nullptr || elements->empty();
}

NetlinkMessage in_transaction(const Part& part, const NetlinkMessage& told,
                              std::vector<NetlinkAttribute> attributes) {
  auto header = sys::value_of<nfgenmsg>(told.header);
  header.res_id = 0;
  return {.type = type_of(part.make),
          .header = sys::bytes_of(header),
          .attributes = std::move(attributes)};
}

class Capture {
 public:
  Capture(CaptureContext& context, NetlinkChannel& channel, NetlinkObjects& out)
      : context_(context), channel_(channel), out_(out) {}

  Result<void> run() {
    TRY(add(kTables, question(kTables.ask, AF_UNSPEC)));
    TRY(add(kChains, question(kChains.ask, AF_UNSPEC)));
    TRY(add(kObjects, question(kObjects.ask, AF_UNSPEC)));
    TRY(refuse_flow_tables());
    const auto sets = TRY(add(kSets, question(kSets.ask, AF_UNSPEC)));
    for (const NetlinkMessage& set : sets) {
      const auto family = sys::value_of<nfgenmsg>(set.header).nfgen_family;
      TRY(add(kElements, question(kElements.ask, family,
                                  {{NFTA_SET_ELEM_LIST_TABLE, *set.find(NFTA_SET_TABLE)},
                                   {NFTA_SET_ELEM_LIST_SET, *set.find(NFTA_SET_NAME)}})));
    }
    TRY(add(kRules, question(kRules.ask, AF_UNSPEC)));
    return {};
  }

 private:
  Result<std::vector<NetlinkMessage>> add(const Part& part, const NetlinkMessage& asked) {
    std::vector<NetlinkMessage> found = TRY(channel_.dump(asked, sizeof(nfgenmsg)));
    std::erase_if(found, [&](const auto& one) {
      return one.type != type_of(part.make) || (&part == &kElements && is_empty_list(one));
    });
    for (const NetlinkMessage& message : found)
      TRY(context_.judge([&]() -> Result<void> {
        TRY(check(part, message));
        auto kept = TRY(keep_known(message.attributes, part.known,
                                   fmt::format("{} of the packet filter", part.name)));
        if (&part == &kRules) std::ranges::copy(protocol_of(message), std::back_inserter(kept));
        put(in_transaction(part, message, std::move(kept)), out_);
        return {};
      }()));
    return found;
  }

  Result<void> refuse_flow_tables() {
    auto found = channel_.dump(question(NFT_MSG_GETFLOWTABLE, AF_UNSPEC), sizeof(nfgenmsg));
    if (!found && found.error().code() == Code::kUnsupported) return {};
    if (!TRY(std::move(found)).empty()) TRY(context_.judge(refuse_in_filter("a flow table")));
    return {};
  }

  CaptureContext& context_;
  NetlinkChannel& channel_;
  NetlinkObjects& out_;
};

}  // namespace

Result<bool> has_no_ruleset(NetlinkChannel& netfilter) {
  constexpr uint32_t kFirstGeneration = 1;
  auto told = netfilter.ask(question(NFT_MSG_GETGEN, AF_UNSPEC), sizeof(nfgenmsg));
  if (!told && told.error().code() == Code::kUnsupported) return true;
  return netfilter_number(TRY(std::move(told)), NFTA_GEN_ID) <= kFirstGeneration;
}

Result<void> capture_ruleset(CaptureContext& context, NetlinkChannel& netfilter,
                             image::Network& out) {
  return Capture(context, netfilter, *out.mutable_ruleset()).run();
}

Result<void> apply_ruleset(NetlinkChannel& netfilter, const image::Network& network) {
  std::vector<NetlinkMessage> transaction;
  uint32_t set = 0;  // in a transaction sets have numbers, too
  for (const image::NetlinkObject& object : network.ruleset()) {
    NetlinkMessage message = message_of(object);
    const auto part = std::ranges::find_if(
        kParts, [&](const Part* one) { return type_of(one->make) == message.type; });
    if (part == kParts.end() || message.header.size() != sizeof(nfgenmsg))
      return fail(Code::kBadImage, "a packet filter that is not possible");
    TRY(renumber(message, (*part)->known, {}));
    TRY(check(**part, message));
    if (*part == &kSets)
      message.attributes.push_back({NFTA_SET_ID, sys::bytes_of(__builtin_bswap32(++set))});
    transaction.push_back(std::move(message));
  }
  if (transaction.empty()) return {};
  return in_context(netfilter.change_together(transaction, NLM_F_CREATE | NLM_F_APPEND),
                    "packet filter");
}

}  // namespace martlet::engine
