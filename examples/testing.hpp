#pragma once

#include "training.hpp"

/// Tests of models that earlier runs stored.
namespace tinynet::examples {

/// A file, or that of a run's folder.
inline std::string model_file(const std::string& path) {
  if (path.empty()) {
    throw StateError(Message("test", "there is no model to test")
                         .hint("name the folder of a run: --model-path FOLDER"));
  }
  return io::is_folder(path) ? io::join(path, "model.safetensors") : path;
}

/// Loads a model of the images of T and prints how it does on the test images: loss and accuracies with
/// their intervals, for each class too, and with views where the recipe has them. Writes nothing.
template <Scalar T, class Model>
void test_stored(const Program& program, Model& model, const std::string& path,
                 const Recipe& recipe) {
  nn::load(model, model_file(path));
  const data::Dataset test_set = recipe.test_set;
  const data::Loader<T> tests(
      test_set,
      {.batch_size = program.batch_size, .shuffle = false, .normalize = recipe.loading.normalize});
  const auto predictions = train::predict(model, tests);
  const auto test = train::evaluate(predictions);
  const auto loss = train::loss_interval(predictions);
  std::printf("%s",
              train::class_table(train::ConfusionMatrix(predictions), test_set.classes()).c_str());
  std::printf("test accuracy %s (%.4f to %.4f)\n", to_string(test).c_str(), loss.low, loss.high);
  if (recipe.tta) {
    std::printf("with test-time augmentation %s\n",
                to_string(train::evaluate(model, tests, *recipe.tta)).c_str());
  }
}

}  // namespace tinynet::examples
