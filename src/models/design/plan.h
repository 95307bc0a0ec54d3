// What an engineer asks of a cluster, and from what it can be built: the content of a plan's file
// (docs/designer.md). Plain values; times in hours or seconds as named, sizes in bytes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/design/templates.h"

namespace martlet::models {

struct ContinuityRequirement {
  double probability = 0;  // at least
  double mission_hours = 8766;
};

struct Requirements {
  std::optional<double> downtime_minutes;                // a year, at most
  std::optional<ContinuityRequirement> no_interruption;  // longer than allowed_seconds
  double allowed_seconds = 0;
  std::optional<double> longest_move_seconds;
  std::optional<double> longest_pause_seconds;  // of a move
  std::optional<double> budget;
};

struct ServerKind {
  std::string name;
  double price = 0;
  double mtbf_hours = 0;       // of the machine, its disks apart
  double disk_mtbf_hours = 0;  // of its disks together
  double memory_bytes = 0;
};
struct SwitchKind {
  std::string name;
  double price = 0;
  double mtbf_hours = 0;
  double bytes_per_second = 0;  // of one port
};
struct StorageKind {  // one array for all
  std::string name;
  double price = 0;
  double mtbf_hours = 0;
};
struct RepairRegime {
  std::string name;
  Repair repair = Repair::kPrompt;
  Crews crews = Crews::kEach;
  double price_per_year = 0;
  double visit_hours = 24;  // mean wait for a visit
  double server_hours = 3;  // means of repairs
  double disk_hours = 6;
  double switch_hours = 3;
  double storage_hours = 6;
};
struct ServiceClass {
  std::string name;
  int count = 1;
  double memory_bytes = 0;
  double file_bytes = 0;
  double files = 1000;
  double write_rate = 0;                // bytes of memory per second, different pages
  double file_write_rate = 0;           // bytes of files per second
  std::optional<double> working_set{};  // bytes; the most that is written again and again
  int priority = 1;                     // when a host is emptied
  double restart_seconds = 60;          // until it serves again after a failure
};

struct Assumptions {
  double years = 5;  // for which repair is paid
  double coverage_ha = 0.99;
  double coverage_ft = 0.99;
  double recovery_hours = 0.5;  // by hand, where the fail-over failed
  double ha_software = 0;       // price for each server
  double ft_software = 0;
  double link_share = 0.9;  // of a port's rate that one move gets
  double round_trip_seconds = 200e-6;
  int most_spares = 2;  // of a pool
};

struct Plan {
  std::string title;
  std::string currency;
  Requirements requirements;
  Assumptions assumptions;
  std::vector<Design> designs;
  std::vector<ServerKind> servers;
  std::vector<SwitchKind> switches;
  std::vector<StorageKind> storages;
  std::vector<RepairRegime> repairs;
  std::vector<ServiceClass> services;
};

// Gives the text of the catalogue that the file names.
using CatalogueReader = std::function<Result<std::string>(const std::string& name)>;

// Errors name the key. At least one server, switch, repair and service.
Result<Plan> parse_plan(std::string_view text, const CatalogueReader& read_catalogue);

}  // namespace martlet::models
