// The case list, part conv2d: see cases.hpp for the list, check_cases.hpp for what is checked.
#include "cases.hpp"
#include "check_cases.hpp"

using namespace tinynet;

TEST_CASE("conv2d") {
  const auto list = cases::conv2d_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("depthwise") {
  const auto list = cases::depthwise_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
