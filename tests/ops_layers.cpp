// The case list, part layers: see cases.hpp for the list, check_cases.hpp for what is checked.
#include "cases.hpp"
#include "check_cases.hpp"

using namespace tinynet;

TEST_CASE("linear") {
  const auto list = cases::linear_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("pooling") {
  const auto list = cases::pooling_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("batch_norm") {
  const auto list = cases::batch_norm_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("dropout") {
  const auto list = cases::dropout_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
TEST_CASE("loss") {
  const auto list = cases::loss_cases();
  SUBCASE("gradients agree with central differences") { check_gradients(list); }
  SUBCASE("kernel paths agree with the reference") { check_paths(list); }
  SUBCASE("threads do not change a bit") { check_threads(list); }
}
