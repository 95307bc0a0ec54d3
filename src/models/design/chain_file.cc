#include "models/design/chain_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/design/templates.h"
#include "models/design/toml_table.h"

namespace martlet::models {
namespace {

Result<Expression> expression_at(const TomlTable& table, std::string_view key) {
  TRY(table.require(key));
  std::string text;
  TRY(table.read_expression(key, text));
  auto parsed = Expression::parse(text);
  if (!parsed) return table.refuse(key, parsed.error().to_string());
  return parsed;
}

Result<ChainDescription> from_template(const TomlTable& file) {
  TRY(file.only({"title", "template", "options", "parameters"}));
  std::string name;
  TRY(file.read("template", name));
  DesignOptions options;
  const auto design = design_of(name);
  if (!design) return file.refuse("template", fmt::format("there is no template '{}'", name));
  options.design = *design;
  const TomlTable table = TRY(file.table("options"));
  for (const std::string& key : table.keys()) {
    std::string text;
    TRY(table.read_word(key, text));
    TRY_IN(set_option(options, key, text), "options");
  }
  return design_chain(options);
}

Result<void> override_parameters(const TomlTable& table, ChainDescription& chain) {
  for (const std::string& name : table.keys()) {
    const auto known = std::ranges::find(chain.parameters, name, &ParameterDescription::name);
    if (known == chain.parameters.end())
      return table.refuse(name, fmt::format("'{}' has no such parameter", chain.title));
    known->value = TRY(expression_at(table, name));
  }
  return {};
}

Result<StateDescription> read_state(const TomlTable& table) {
  TRY(table.only({"name", "up", "reward"}));
  TRY(table.require("name"));
  StateDescription state;
  TRY(table.read("name", state.name));
  bool up = true;
  TRY(table.read("up", up));
  state.service = up ? Service::kUp : Service::kDown;
  if (table.has("reward")) state.reward = TRY(expression_at(table, "reward"));
  return state;
}

Result<TransitionDescription> read_transition(const TomlTable& table) {
  TRY(table.only({"from", "to", "rate", "label"}));
  for (const char* key : {"from", "to"}) TRY(table.require(key));
  TransitionDescription transition;
  TRY(table.read("from", transition.from));
  TRY(table.read("to", transition.to));
  TRY(table.read("label", transition.label));
  transition.rate = TRY(expression_at(table, "rate"));
  return transition;
}

Result<ChainDescription> own_chain(const TomlTable& file) {
  TRY(file.only({"title", "initial", "parameters", "states", "transitions"}));
  ChainDescription chain;
  chain.title = "chain";
  TRY(file.read("initial", chain.initial));
  const TomlTable parameters = TRY(file.table("parameters"));
  for (const std::string& name : parameters.keys())
    chain.parameters.push_back({name, TRY(expression_at(parameters, name)), ""});
  for (const TomlTable& state : TRY(file.tables("states")))
    chain.states.push_back(TRY(read_state(state)));
  for (const TomlTable& transition : TRY(file.tables("transitions")))
    chain.transitions.push_back(TRY(read_transition(transition)));
  return chain;
}

}  // namespace

Result<ChainDescription> parse_chain_file(std::string_view text) {
  const TomlTable file = TRY(TomlTable::parse(text));
  const bool is_template = file.has("template");
  ChainDescription chain = is_template ? TRY(from_template(file)) : TRY(own_chain(file));
  if (is_template) TRY(override_parameters(TRY(file.table("parameters")), chain));
  TRY(file.read("title", chain.title));
  return chain;
}

}  // namespace martlet::models
