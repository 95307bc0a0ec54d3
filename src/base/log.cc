#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

namespace martlet {

void init_logging(std::string_view level) {
  auto logger = std::make_shared<spdlog::logger>("martlet",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(std::string(level)));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace martlet
