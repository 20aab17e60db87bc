// The case list, part fused ops: see cases.hpp for the list, check_cases.hpp for what is checked.
#include "cases.hpp"
#include "check_cases.hpp"

using namespace tinynet;

TEST_CASE("batch_norm_act") {
  const auto list = cases::batch_norm_act_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("batch_norm_gate") {
  const auto list = cases::batch_norm_gate_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("convolution and batch_norm_act") {
  const auto list = cases::conv_norm_act_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("batch_norm_act deferred to a convolution") {
  const auto list = cases::batch_norm_deferred_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
