#include "agent/host_costs.h"

#include <filesystem>

#include "base/test_util.h"

namespace martlet::agent {
namespace {

TEST(HostCosts, MeasuresEveryCostAndLeavesNothing) {
  const TemporaryDirectory directory;
  const SystemClock clock;
  const models::HostCosts costs = measure_host_costs(directory.path(), clock);
  for (const double cost :
       {costs.page_read, costs.page_hash, costs.page_encrypt, costs.page_socket, costs.page_touch,
        costs.task_stop, costs.task_read, costs.mapping_read, costs.page_look,
        costs.descriptor_read, costs.connection_read, costs.group_freeze, costs.group_capture,
        costs.fork, costs.file_compare, costs.durable_write})
    EXPECT_GT(cost, 0);
  EXPECT_GE(costs.cores, 1u);
  EXPECT_LT(costs.page_hash, costs.fork);  // nanoseconds are not seconds
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

}  // namespace
}  // namespace martlet::agent
