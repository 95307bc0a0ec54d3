// Who wants to know about migrations to this host.
#pragma once

#include <string>

#include "base/result.h"
#include "migrate/stages.h"

namespace martlet::migrate {

// Told on the threads that serve the migrations; must return at once.
class Arrivals {
 public:
  virtual ~Arrivals() = default;
  virtual void on_begin(const std::string& migration, const std::string& container,
                        const std::string& source) = 0;
  virtual void on_stage(const std::string& migration, Stage stage) = 0;
  // Success: the container runs here.
  virtual void on_end(const std::string& migration, const Result<void>& outcome) = 0;
};

}  // namespace martlet::migrate
