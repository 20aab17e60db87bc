#pragma once

#include <nlohmann/json.hpp>

#include <tinynet/tinynet.hpp>

namespace tinynet::examples {

/// What result.json says of the test images as a whole, of one network or several.
inline nlohmann::ordered_json test_scores(const train::Predictions& predictions) {
  const auto test = train::evaluate(predictions);
  const auto loss = train::loss_interval(predictions);
  return {{"test_accuracy", test.accuracy},
          {"test_accuracy_low", test.low},
          {"test_accuracy_high", test.high},
          {"test_loss", test.loss},
          {"test_loss_low", loss.low},
          {"test_loss_high", loss.high},
          {"calibration_error", train::calibration_error(predictions)}};
}

/// The same with test-time augmentation.
inline nlohmann::ordered_json tta_scores(const train::Evaluation& tta) {
  return {{"test_accuracy_tta", tta.accuracy},
          {"test_accuracy_tta_low", tta.low},
          {"test_accuracy_tta_high", tta.high}};
}

/// What a run wrote; null where there is no such file. One of another program may have its name.
nlohmann::ordered_json read_json(const std::string& file);

}  // namespace tinynet::examples
