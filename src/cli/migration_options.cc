#include "cli/migration_options.h"

#include <map>

#include "base/units.h"

namespace martlet::cli {
namespace {

template <typename T>
T value_or_throw(const std::string& option, Result<T> value) {
  if (!value) throw CLI::ValidationError(option, value.error().to_string());
  return *value;
}

// An option that takes one of a few words.
template <typename T>
void add_choice(CLI::App& command, const std::string& name, const std::string& help,
                std::map<std::string, T> words, std::function<void(T)> set) {
  std::string names;
  for (const auto& [word, value] : words) names += (names.empty() ? "" : "|") + word;
  command
      .add_option_function<std::string>(
          name,
          [name, names, words = std::move(words), set = std::move(set)](const std::string& word) {
            const auto found = words.find(word);
            if (found == words.end())
              throw CLI::ValidationError(name, "'" + word + "' is not one of " + names);
            set(found->second);
          },
          help)
      ->type_name(names);
}

using Given = std::shared_ptr<agent::MigrationOptions>;

void add_mode_options(CLI::App& command, const Given& given) {
  add_choice<agent::MigrationMode>(command, "--mode", "how memory moves [auto]",
                                   {{"stop", agent::MODE_STOP},
                                    {"precopy", agent::MODE_PRECOPY},
                                    {"postcopy", agent::MODE_POSTCOPY},
                                    {"hybrid", agent::MODE_HYBRID},
                                    {"auto", agent::MODE_AUTO}},
                                   [given](auto value) { given->set_mode(value); });
  add_choice<agent::MigrationStopRule>(
      command, "--stop", "what ends the rounds of pre-copy [max-pause]",
      {{"max-pause", agent::STOP_MAX_PAUSE}, {"criterion-1", agent::STOP_CRITERION_1}},
      [given](auto value) { given->set_stop_rule(value); });
  add_choice<agent::NoConvergence>(command, "--on-no-convergence",
                                   "what follows if the rounds do not come within the limits "
                                   "[throttle]",
                                   {{"throttle", agent::NO_CONVERGENCE_THROTTLE},
                                    {"postcopy", agent::NO_CONVERGENCE_POSTCOPY},
                                    {"stop", agent::NO_CONVERGENCE_STOP},
                                    {"cancel", agent::NO_CONVERGENCE_CANCEL}},
                                   [given](auto value) { given->set_on_no_convergence(value); });
}

void add_limits(CLI::App& command, const Given& given) {
  add_duration(command, "--max-pause", "the pause to aim at; binds mode auto if given [50ms]",
               [given](int64_t value) { given->set_max_pause_ns(value); });
  command.add_option_function<uint32_t>(
      "--max-rounds", [given](uint32_t value) { given->set_max_rounds(value); },
      "rounds of pre-copy at most [30]");
  add_duration(command, "--max-time", "limit of the whole move, such as 5m; 0: none [0]",
               [given](int64_t value) { given->set_max_time_ns(value); });
  add_duration(command, "--push-after",
               "post-copy: from the thaw to the push of all that is left [0]",
               [given](int64_t value) { given->set_push_after_ns(value); });
}

void add_link_options(CLI::App& command, const Given& given) {
  add_rate(command, "--bandwidth", "limit such as 200Mbit/s or 50MB/s; 0: none [0]",
           [given](uint64_t value) { given->set_bandwidth(value); });
  command.add_option_function<uint32_t>(
      "--streams", [given](uint32_t value) { given->set_streams(value); },
      "connections that carry memory, 1 to 16 [1]");
  add_compression(command, "of memory on its way [none]",
                  [given](auto value) { given->set_compression(value); });
}

}  // namespace

void add_compression(CLI::App& command, const std::string& help,
                     std::function<void(agent::Compression)> set) {
  add_choice<agent::Compression>(command, "--compress", help,
                                 {{"none", agent::COMPRESSION_NONE},
                                  {"lz4", agent::COMPRESSION_LZ4},
                                  {"zstd", agent::COMPRESSION_ZSTD}},
                                 std::move(set));
}

void add_external_unix(CLI::App& command, std::function<void(agent::OutsidePeers)> set) {
  add_choice<agent::OutsidePeers>(
      command, "--external-unix",
      "what a checkpoint or move makes of Unix connections to processes outside [refuse]",
      {{"refuse", agent::OUTSIDE_PEERS_REFUSE},
       {"close", agent::OUTSIDE_PEERS_CLOSE},
       {"reconnect", agent::OUTSIDE_PEERS_RECONNECT}},
      std::move(set));
}

Result<void> refuse_declared(const std::string& container,
                             const std::optional<agent::OutsidePeers>& external_unix) {
  if (container.empty() || !external_unix) return {};
  return std::unexpected(Error(Code::kInvalidArgument,
                               "--external-unix goes with --pid; that of a container is declared")
                             .with_remedy("give it to `martlet run`"));
}

CLI::Option* add_duration(CLI::App& command, const std::string& name, const std::string& help,
                          std::function<void(int64_t)> set) {
  return command
      .add_option_function<std::string>(
          name,
          [name, set = std::move(set)](const std::string& text) {
            set(value_or_throw(name, parse_duration(text)).count());
          },
          help)
      ->type_name("DURATION");
}

CLI::Option* add_rate(CLI::App& command, const std::string& name, const std::string& help,
                      std::function<void(uint64_t)> set) {
  return command
      .add_option_function<std::string>(
          name,
          [name, set = std::move(set)](const std::string& text) {
            set(value_or_throw(name, parse_rate(text)));
          },
          help)
      ->type_name("RATE");
}

void add_migration_options(CLI::App& command,
                           const std::shared_ptr<agent::MigrationOptions>& given) {
  add_mode_options(command, given);
  add_limits(command, given);
  add_link_options(command, given);
}

}  // namespace martlet::cli
