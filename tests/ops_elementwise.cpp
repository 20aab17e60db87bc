// The case list, part elementwise: see cases.hpp for the list, check_cases.hpp for what is checked.
#include "cases.hpp"
#include "check_cases.hpp"

using namespace tinynet;

TEST_CASE("elementwise") {
  const auto list = cases::elementwise_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("reduction") {
  const auto list = cases::reduction_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("layout") {
  const auto list = cases::layout_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
