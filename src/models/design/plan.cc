#include "models/design/plan.h"

#include <fmt/format.h>

#include "models/design/evacuation.h"
#include "models/design/toml_table.h"

namespace martlet::models {
namespace {

Result<void> require_all(const TomlTable& table, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) TRY(table.require(key));
  return {};
}

// A number above 0.
Result<void> read_positive(const TomlTable& table, std::string_view key, double& target) {
  TRY(table.read(key, target));
  if (table.has(key) && !(target > 0)) return table.refuse(key, "must be more than 0");
  return {};
}

Result<void> read_share(const TomlTable& table, std::string_view key, double& target) {
  TRY(table.read(key, target));
  if (!(target >= 0 && target <= 1)) return table.refuse(key, "is not from 0 to 1");
  return {};
}

Result<void> read_kind(const TomlTable& table, std::string& name, double& price) {
  TRY(require_all(table, {"name", "price"}));
  TRY(table.read("name", name));
  return table.read_amount("price", price);
}

Result<ServerKind> read_server(const TomlTable& table) {
  TRY(table.only({"name", "price", "mtbf_hours", "disk_mtbf_hours", "memory"}));
  TRY(require_all(table, {"mtbf_hours", "disk_mtbf_hours", "memory"}));
  ServerKind server;
  TRY(read_kind(table, server.name, server.price));
  TRY(read_positive(table, "mtbf_hours", server.mtbf_hours));
  TRY(read_positive(table, "disk_mtbf_hours", server.disk_mtbf_hours));
  TRY(table.read_bytes("memory", server.memory_bytes));
  return server;
}

Result<SwitchKind> read_switch(const TomlTable& table) {
  TRY(table.only({"name", "price", "mtbf_hours", "rate"}));
  TRY(require_all(table, {"mtbf_hours", "rate"}));
  SwitchKind kind;
  TRY(read_kind(table, kind.name, kind.price));
  TRY(read_positive(table, "mtbf_hours", kind.mtbf_hours));
  TRY(table.read_bytes("rate", kind.bytes_per_second));
  if (kind.bytes_per_second < 1) return table.refuse("rate", "must be more than 0");
  return kind;
}

Result<StorageKind> read_storage(const TomlTable& table) {
  TRY(table.only({"name", "price", "mtbf_hours"}));
  TRY(require_all(table, {"mtbf_hours"}));
  StorageKind kind;
  TRY(read_kind(table, kind.name, kind.price));
  TRY(read_positive(table, "mtbf_hours", kind.mtbf_hours));
  return kind;
}

Result<RepairRegime> read_repair(const TomlTable& table) {
  TRY(table.only({"name", "repair", "crews", "price_per_year", "visit_hours", "server_hours",
                  "disk_hours", "switch_hours", "storage_hours"}));
  TRY(require_all(table, {"name", "price_per_year"}));
  RepairRegime regime;
  TRY(table.read("name", regime.name));
  TRY(table.read_amount("price_per_year", regime.price_per_year));
  DesignOptions options;
  for (const char* key : {"repair", "crews"}) {
    std::string text;
    TRY(table.read(key, text));
    if (table.has(key)) TRY_IN(set_option(options, key, text), regime.name);
  }
  regime.repair = options.repair;
  regime.crews = options.crews;
  TRY(read_positive(table, "visit_hours", regime.visit_hours));
  TRY(read_positive(table, "server_hours", regime.server_hours));
  TRY(read_positive(table, "disk_hours", regime.disk_hours));
  TRY(read_positive(table, "switch_hours", regime.switch_hours));
  TRY(read_positive(table, "storage_hours", regime.storage_hours));
  return regime;
}

Result<ServiceClass> read_service(const TomlTable& table) {
  TRY(table.only({"name", "count", "memory", "file_bytes", "files", "write_rate", "file_write_rate",
                  "working_set", "restart", "priority"}));
  TRY(require_all(table, {"name", "memory"}));
  ServiceClass service;
  TRY(table.read("name", service.name));
  TRY(table.read("count", service.count));
  if (service.count < 1) return table.refuse("count", "must be 1 or more");
  TRY(table.read("priority", service.priority));
  if (service.priority < 1) return table.refuse("priority", "must be 1 or more");
  TRY(table.read_bytes("memory", service.memory_bytes));
  TRY(table.read_bytes("file_bytes", service.file_bytes));
  TRY(table.read_amount("files", service.files));
  TRY(table.read_bytes("write_rate", service.write_rate));
  TRY(table.read_bytes("file_write_rate", service.file_write_rate));
  if (table.has("working_set")) TRY(table.read_bytes("working_set", service.working_set.emplace()));
  TRY(table.read_seconds("restart", service.restart_seconds));
  if (!(service.restart_seconds > 0)) return table.refuse("restart", "must be more than 0");
  return service;
}

Result<Requirements> read_requirements(const TomlTable& table) {
  TRY(table.only({"availability", "downtime_minutes_per_year", "no_interruption_probability",
                  "mission", "allowed_interruption", "longest_move", "longest_pause", "budget"}));
  Requirements wanted;
  if (table.has("availability")) {
    double availability = 0;
    TRY(read_share(table, "availability", availability));
    wanted.downtime_minutes = (1 - availability) * 8766 * 60;
  }
  if (table.has("downtime_minutes_per_year"))
    TRY(table.read_amount("downtime_minutes_per_year", wanted.downtime_minutes.emplace()));
  TRY(table.read_seconds("allowed_interruption", wanted.allowed_seconds));
  if (table.has("no_interruption_probability")) {
    auto& kept_up = wanted.no_interruption.emplace();
    TRY(read_share(table, "no_interruption_probability", kept_up.probability));
    TRY(table.read_hours("mission", kept_up.mission_hours));
  }
  if (table.has("longest_move"))
    TRY(table.read_seconds("longest_move", wanted.longest_move_seconds.emplace()));
  if (table.has("longest_pause"))
    TRY(table.read_seconds("longest_pause", wanted.longest_pause_seconds.emplace()));
  if (table.has("budget")) TRY(table.read_amount("budget", wanted.budget.emplace()));
  return wanted;
}

Result<Assumptions> read_assumptions(const TomlTable& table) {
  TRY(table.only({"years", "coverage_ha", "coverage_ft", "recovery_hours", "ha_software",
                  "ft_software", "link_share", "round_trip", "most_spares"}));
  Assumptions assumed;
  TRY(read_positive(table, "years", assumed.years));
  TRY(read_share(table, "coverage_ha", assumed.coverage_ha));
  TRY(read_share(table, "coverage_ft", assumed.coverage_ft));
  TRY(read_positive(table, "recovery_hours", assumed.recovery_hours));
  TRY(table.read_amount("ha_software", assumed.ha_software));
  TRY(table.read_amount("ft_software", assumed.ft_software));
  TRY(read_share(table, "link_share", assumed.link_share));
  if (assumed.link_share == 0) return table.refuse("link_share", "must be more than 0");
  TRY(table.read_seconds("round_trip", assumed.round_trip_seconds));
  TRY(table.read("most_spares", assumed.most_spares));
  if (assumed.most_spares < 1 || assumed.most_spares > 8)
    return table.refuse("most_spares", "is not from 1 to 8");
  return assumed;
}

// Adds what a file lists of one kind.
template <typename Kind>
Result<void> append(const TomlTable& file, std::string_view key,
                    Result<Kind> (*read)(const TomlTable&), std::vector<Kind>& all) {
  for (const TomlTable& table : TRY(file.tables(key))) {
    all.push_back(TRY(read(table)));
    if (all.back().name.empty()) return table.refuse("name", "is empty");
  }
  return {};
}

Result<void> read_catalogue_of(const TomlTable& file, Plan& plan) {
  TRY(append(file, "servers", read_server, plan.servers));
  TRY(append(file, "switches", read_switch, plan.switches));
  TRY(append(file, "storages", read_storage, plan.storages));
  return append(file, "repairs", read_repair, plan.repairs);
}

Result<void> read_catalogue_file(const std::string& text, Plan& plan) {
  const TomlTable file = TRY(TomlTable::parse(text));
  TRY(file.only({"currency", "servers", "switches", "storages", "repairs"}));
  TRY(file.read("currency", plan.currency));
  return read_catalogue_of(file, plan);
}

Result<void> read_designs(const TomlTable& file, Plan& plan) {
  std::vector<std::string> names{"single", "ha", "ft", "pool"};
  TRY(file.read("designs", names));
  for (const std::string& name : names) {
    const auto design = design_of(name);
    if (!design) return file.refuse("designs", fmt::format("there is no design '{}'", name));
    plan.designs.push_back(*design);
  }
  return {};
}

}  // namespace

Result<Plan> parse_plan(std::string_view text, const CatalogueReader& read_catalogue) {
  const TomlTable file = TRY(TomlTable::parse(text));
  TRY(file.only({"title", "currency", "catalogue", "designs", "requirements", "assumptions",
                 "servers", "switches", "storages", "repairs", "services"}));
  Plan plan;
  plan.title = "plan";
  TRY(file.read("title", plan.title));
  if (file.has("catalogue")) {
    std::string name;
    TRY(file.read("catalogue", name));
    TRY_IN(read_catalogue_file(TRY(read_catalogue(name)), plan), name);
  }
  TRY(file.read("currency", plan.currency));
  TRY(read_catalogue_of(file, plan));
  TRY(read_designs(file, plan));
  plan.requirements = TRY(read_requirements(TRY(file.table("requirements"))));
  plan.assumptions = TRY(read_assumptions(TRY(file.table("assumptions"))));
  TRY(append(file, "services", read_service, plan.services));
  for (const auto& [key, size] :
       {std::pair{"servers", plan.servers.size()}, std::pair{"switches", plan.switches.size()},
        std::pair{"repairs", plan.repairs.size()}, std::pair{"services", plan.services.size()}})
    if (size == 0) return file.refuse(key, "at least one is needed, here or in a catalogue");
  return plan;
}

Result<Evacuation> parse_evacuation(std::string_view text) {
  const TomlTable file = TRY(TomlTable::parse(text));
  TRY(file.only({"title", "rate", "storage", "longest_pause", "assumptions", "services"}));
  Evacuation evacuation;
  evacuation.title = "host";
  TRY(file.read("title", evacuation.title));
  TRY(file.require("rate"));
  TRY(file.read_bytes("rate", evacuation.bytes_per_second));
  if (evacuation.bytes_per_second < 1) return file.refuse("rate", "must be more than 0");
  std::string storage = "replicated";
  TRY(file.read("storage", storage));
  DesignOptions options;
  TRY(set_option(options, "storage", storage));
  evacuation.storage = options.storage;
  TRY(file.read_seconds("longest_pause", evacuation.longest_pause_seconds));
  evacuation.assumptions = TRY(read_assumptions(TRY(file.table("assumptions"))));
  TRY(append(file, "services", read_service, evacuation.services));
  if (evacuation.services.empty()) return file.refuse("services", "at least one is needed");
  return evacuation;
}

}  // namespace martlet::models
