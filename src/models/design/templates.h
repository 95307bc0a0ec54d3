// The designs that a cluster is chosen from, as Markov chains: a single server, two servers of
// which the second takes over after a restart (HA), two with a live shadow copy (FT), and a pool of
// N hosts with k spares.
//
// Source: Aleksankov 2017 for two machines (components, prompt and non-prompt repair, restart,
// re-synchronisation, migration back); coverage after Dugan and Trivedi 1989. docs/designer.md
// says what each state means and where the models hold. Rates are per hour.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/markov/chain_model.h"

namespace martlet::models {

enum class Design { kSingle, kHa, kFt, kPool };
enum class Repair { kPrompt, kVisit };        // begins at once, or waits for a visit
enum class Crews { kEach, kOne };             // everything is repaired at once, or shares a crew
enum class Storage { kReplicated, kShared };  // disks in each server, or one array for all
enum class MoveBack { kNo, kYes };            // HA: whether the service returns to its home
enum class Rebuild { kLive, kStopped };       // FT: how a shadow is built: a slow link stops it

struct DesignOptions {
  Design design = Design::kHa;
  Repair repair = Repair::kPrompt;
  Crews crews = Crews::kEach;
  Storage storage = Storage::kReplicated;
  int switches = 1;  // 0: the network is not in the model; 2: one is enough
  MoveBack move_back = MoveBack::kNo;
  Rebuild rebuild = Rebuild::kLive;
  int hosts = 4;   // pool: N, each with one share of the services
  int spares = 1;  // pool: k
};

struct DesignInfo {
  Design design;
  std::string_view name;  // as on the command line
  std::string_view meaning;
};
const std::vector<DesignInfo>& designs();
std::string_view design_name(Design design);
std::optional<Design> design_of(std::string_view name);

// Sets one option from its name and text, as in a file or on the command line: repair = prompt |
// visit, crews = each | one, storage = replicated | shared, switches = 0 to 2, move_back = no |
// yes, rebuild = live | stopped, hosts, spares = numbers.
Result<void> set_option(DesignOptions& options, std::string_view name, std::string_view text);
// "ha, prompt repair, replicated storage, 1 switch": what distinguishes it from others.
std::string describe(const DesignOptions& options);

// All parameters that designs may use, with their defaults.
const std::vector<ParameterDescription>& design_parameters();

// kInvalidArgument if an option is out of range. At most 32 hosts in a pool.
Result<ChainDescription> design_chain(const DesignOptions& options);

}  // namespace martlet::models
