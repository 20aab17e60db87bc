#pragma once

#include <string>
#include <vector>

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

/// And of each class, by its name.
inline nlohmann::ordered_json class_scores(const train::Predictions& predictions,
                                           const std::vector<std::string>& names) {
  const train::ConfusionMatrix confusion(predictions);
  const auto name_of = [&](std::int32_t label) {
    return names.at(static_cast<std::size_t>(label));
  };
  const auto worst = confusion.worst_class();
  nlohmann::ordered_json scores{{"worst_class",
                                 {{"name", name_of(worst.label)},
                                  {"accuracy", worst.accuracy()},
                                  {"low", worst.low},
                                  {"high", worst.high}}}};
  for (const auto& one : confusion.by_class()) {
    if (one.total == 0) continue;
    scores["class_accuracy"][name_of(one.label)] = one.accuracy();
    scores["class_accuracy_interval"][name_of(one.label)] = {one.low, one.high};
  }
  return scores;
}

/// The same as a whole with test-time augmentation.
inline nlohmann::ordered_json tta_scores(const train::Evaluation& tta) {
  return {{"test_accuracy_tta", tta.accuracy},
          {"test_accuracy_tta_low", tta.low},
          {"test_accuracy_tta_high", tta.high}};
}

/// What a run wrote; null where there is no such file, or none to read. One of another program may have its name.
nlohmann::ordered_json read_json(const std::string& file);

/// The number at a key; 0 where there is none.
double number_at(const nlohmann::ordered_json& json, const char* key);

}  // namespace tinynet::examples
