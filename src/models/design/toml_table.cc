#include "models/design/toml_table.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"

namespace martlet::models {

struct TomlTable::Node {
  toml::table table;
};

Result<TomlTable> TomlTable::parse(std::string_view text) {
  try {
    return TomlTable("", std::make_shared<Node>(Node{toml::parse(text)}));
  } catch (const toml::parse_error& error) {
    return fail(Code::kInvalidArgument, fmt::format("line {}: {}", error.source().begin.line,
                                                    std::string(error.description())));
  }
}

std::string TomlTable::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

std::unexpected<Error> TomlTable::refuse(std::string_view key, std::string cause) const {
  return fail(Code::kInvalidArgument, fmt::format("{}: {}", path_of(key), cause));
}

Result<void> TomlTable::require(std::string_view key) const {
  if (!has(key)) return refuse(key, "is missing");
  return {};
}

bool TomlTable::has(std::string_view key) const {
  return node_->table.contains(key);
}

std::vector<std::string> TomlTable::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : node_->table) keys.emplace_back(key.str());
  return keys;
}

Result<void> TomlTable::only(std::initializer_list<std::string_view> keys) const {
  for (const std::string& key : this->keys())
    if (std::ranges::find(keys, key) == keys.end())
      return refuse(key, fmt::format("unknown key; there are {}", fmt::join(keys, ", ")));
  return {};
}

template <typename T>
Result<void> TomlTable::read_as(std::string_view key, T& target, std::string_view expected) const {
  const toml::node* node = node_->table.get(key);
  if (node == nullptr) return {};
  const auto value = node->value_exact<T>();
  if (!value) return refuse(key, fmt::format("{} is expected", expected));
  target = *value;
  return {};
}

Result<void> TomlTable::read(std::string_view key, std::string& target) const {
  return read_as(key, target, "text in quotes");
}

Result<void> TomlTable::read(std::string_view key, bool& target) const {
  return read_as(key, target, "true or false");
}

Result<void> TomlTable::read(std::string_view key, double& target) const {
  const toml::node* node = node_->table.get(key);
  if (node == nullptr) return {};
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value || !std::isfinite(*value)) return refuse(key, "a number is expected");
  target = *value;
  return {};
}

Result<void> TomlTable::read(std::string_view key, int& target) const {
  int64_t value = target;
  TRY(read_as(key, value, "a whole number"));
  if (value < -1'000'000'000 || value > 1'000'000'000) return refuse(key, "is out of range");
  target = static_cast<int>(value);
  return {};
}

Result<void> TomlTable::read(std::string_view key, std::vector<std::string>& target) const {
  const toml::node* node = node_->table.get(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  if (array == nullptr) return refuse(key, "a list of texts is expected");
  target.clear();
  for (const toml::node& element : *array) {
    const auto value = element.value_exact<std::string>();
    if (!value) return refuse(key, "a list of texts is expected");
    target.push_back(*value);
  }
  return {};
}

Result<void> TomlTable::read_expression(std::string_view key, std::string& target) const {
  const toml::node* node = node_->table.get(key);
  if (node == nullptr || node->is_string()) return read(key, target);
  double value = 0;
  TRY(read(key, value));
  target = fmt::format("{}", value);
  return {};
}

Result<void> TomlTable::read_word(std::string_view key, std::string& target) const {
  const toml::node* node = node_->table.get(key);
  if (node == nullptr || node->is_string()) return read(key, target);
  int value = 0;
  TRY(read(key, value));
  target = fmt::format("{}", value);
  return {};
}

Result<void> TomlTable::read_amount(std::string_view key, double& target) const {
  double value = target;
  TRY(read(key, value));
  if (value < 0) return refuse(key, fmt::format("{} is negative", value));
  target = value;
  return {};
}

Result<void> TomlTable::read_seconds(std::string_view key, double& target) const {
  if (!has(key)) return {};
  std::string text;
  TRY(read(key, text));
  const Nanoseconds duration = TRY_IN(parse_duration(text), path_of(key));
  target = static_cast<double>(duration.count()) * 1e-9;
  return {};
}

Result<void> TomlTable::read_hours(std::string_view key, double& target) const {
  double seconds = target * 3600;
  TRY(read_seconds(key, seconds));
  target = seconds / 3600;
  return {};
}

Result<void> TomlTable::read_bytes(std::string_view key, double& target) const {
  if (!has(key)) return {};
  std::string text;
  TRY(read(key, text));
  target = static_cast<double>(TRY_IN(parse_rate(text), path_of(key)));
  return {};
}

Result<void> TomlTable::read_amounts(std::string_view key, std::vector<double>& target) const {
  const toml::node* node = node_->table.get(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  if (array == nullptr || array->empty()) return refuse(key, "a list of numbers is expected");
  target.clear();
  for (const toml::node& element : *array) {
    const auto value = element.is_number() ? element.value<double>() : std::nullopt;
    if (!value || !std::isfinite(*value) || *value < 0)
      return refuse(key, "a list of numbers of 0 or more is expected");
    target.push_back(*value);
  }
  return {};
}

Result<void> TomlTable::read_bytes(std::string_view key, std::vector<double>& target) const {
  if (!has(key)) return {};
  std::vector<std::string> texts;
  TRY(read(key, texts));
  if (texts.empty()) return refuse(key, "the list is empty");
  target.clear();
  for (const std::string& text : texts)
    target.push_back(static_cast<double>(TRY_IN(parse_rate(text), path_of(key))));
  return {};
}

Result<TomlTable> TomlTable::table(std::string_view key) const {
  const toml::node* node = node_->table.get(key);
  if (node == nullptr) return TomlTable(path_of(key), std::make_shared<Node>());
  const toml::table* table = node->as_table();
  if (table == nullptr) return refuse(key, "a table is expected");
  return TomlTable(path_of(key), std::make_shared<Node>(Node{*table}));
}

Result<std::vector<TomlTable>> TomlTable::tables(std::string_view key) const {
  std::vector<TomlTable> result;
  const toml::node* node = node_->table.get(key);
  if (node == nullptr) return result;
  const toml::array* array = node->as_array();
  if (array == nullptr) return refuse(key, "a list of tables is expected");
  for (const toml::node& element : *array) {
    const toml::table* table = element.as_table();
    if (table == nullptr) return refuse(key, "a list of tables is expected");
    result.push_back(TomlTable(fmt::format("{}[{}]", path_of(key), result.size() + 1),
                               std::make_shared<Node>(Node{*table})));
  }
  return result;
}

}  // namespace martlet::models
