// A TOML table of a plan or a chain: values are read by key into what they are for, and an error
// names the place ("requirements.budget") and what was expected there.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace martlet::models {

class TomlTable {
 public:
  // The error has the line.
  static Result<TomlTable> parse(std::string_view text);

  // Refuses keys that are not listed.
  Result<void> only(std::initializer_list<std::string_view> keys) const;
  bool has(std::string_view key) const;
  std::vector<std::string> keys() const;  // sorted

  // Sets `target` if the key is there; a value of another kind is an error.
  Result<void> read(std::string_view key, std::string& target) const;
  Result<void> read(std::string_view key, double& target) const;  // a finite number
  Result<void> read(std::string_view key, int& target) const;
  Result<void> read(std::string_view key, bool& target) const;
  Result<void> read(std::string_view key, std::vector<std::string>& target) const;
  // A number, or text that is one when it is evaluated: as text.
  Result<void> read_expression(std::string_view key, std::string& target) const;
  // A whole number or a word: as text.
  Result<void> read_word(std::string_view key, std::string& target) const;
  // A number of 0 or more; a duration such as "30s"; a size or rate such as "64GB" or "10Gbit/s".
  Result<void> read_amount(std::string_view key, double& target) const;
  Result<void> read_seconds(std::string_view key, double& target) const;
  Result<void> read_hours(std::string_view key, double& target) const;
  Result<void> read_bytes(std::string_view key, double& target) const;
  // Lists of them, not empty.
  Result<void> read_amounts(std::string_view key, std::vector<double>& target) const;
  Result<void> read_bytes(std::string_view key, std::vector<double>& target) const;

  // An absent table is empty. An array of tables, absent: no tables.
  Result<TomlTable> table(std::string_view key) const;
  Result<std::vector<TomlTable>> tables(std::string_view key) const;

  // "plan.service[2]: cause".
  std::unexpected<Error> refuse(std::string_view key, std::string cause) const;
  // An error if the key is absent.
  Result<void> require(std::string_view key) const;

 private:
  struct Node;
  TomlTable(std::string path, std::shared_ptr<const Node> node)
      : path_(std::move(path)), node_(std::move(node)) {}
  std::string path_of(std::string_view key) const;
  template <typename T>
  Result<void> read_as(std::string_view key, T& target, std::string_view expected) const;

  std::string path_;
  std::shared_ptr<const Node> node_;
};

}  // namespace martlet::models
