// FashionMNIST within a budget: accuracy, bytes of parameters and latency, each checked.
// Claim: the toy CNN 92.12 % of the test images, structure 2 92.80 %, ResNet-12 94.02 %, ResNet-14-like 94.45 %,
// ResNet-14 95.34 %, ResNet-18 95.28 % (seed 1); SEAir of 8.8 MB 95.03 % (mean of three seeds).
// Run: build/release/examples/fashion_mnist_budget --network resnet14_like --precision bfloat16 --epochs 15
//      build/release/examples/fashion_mnist_budget --network resnet14 --precision bfloat16 --epochs 15 --muon --small-epochs 9      or resnet18
//      build/release/examples/fashion_mnist_budget --network toy --epochs 10 --no-erase
//      build/release/examples/fashion_mnist_budget --network structure2 --epochs 10 --lr 0.02      has no normalisation
//      build/release/examples/fashion_mnist_budget --network seair_compact --batch-size 500 --precision bfloat16 --epochs 25 --seeds 1,2,3
//      build/release/examples/fashion_mnist_budget --network toy --batch-sizes 32,128,512      one table
#include "seair.hpp"

using namespace tinynet;
using examples::Program;

template <Scalar T>
int train_within(const Program& program, const examples::FashionMnist& options,
                 const std::string& network, const examples::Goals& goals) {
  options.require_size(network);
  const bool seair = network == "seair_compact";
  auto recipe =
      seair ? examples::seair_recipe(program, options) : examples::network_recipe(program, options);
  recipe.goals = goals;
  const data::Dataset& train_set = recipe.train_set;
  std::printf("%s\n%s\n", to_string(data::statistics(train_set)).c_str(),
              to_string(data::statistics(recipe.test_set)).c_str());
  if (seair) {
    return examples::train_seair<T>(program, recipe, examples::networks::seair_compact()).status;
  }
  return examples::with_network<T>(network, [&](auto& model) {
    nn::initialize(model, program.seed);
    std::printf("%s\n", to_string(nn::summary<T>(model, {1, 28, 28, 1})).c_str());
    return examples::train_network<T>(program, options, model, recipe).status;
  });
}

int main(int argc, char** argv) {
  examples::FashionMnist options;
  std::string network = "resnet14_like";
  examples::Goals goals{.accuracy = 0.95, .megabytes = 10, .milliseconds = 5};
  auto own = options.options();
  own.push_back({"network",
                 "what is trained",
                 &network,
                 {"toy", "structure2", "structure4", "resnet12", "resnet14", "resnet14_like",
                  "resnet14_like_se", "resnet18", "seair_compact"}});
  own.push_back({"goal-accuracy", "a fraction", &goals.accuracy, {}, 0, 1});
  own.push_back({"goal-megabytes", "of stored parameters", &goals.megabytes});
  own.push_back({"goal-milliseconds", "for one image", &goals.milliseconds});
  auto program = Program::parse(argc, argv,
                                {.claim = "Trains a network on FashionMNIST and checks its budget.",
                                 .name = "fashion_mnist_budget",
                                 .epochs = 15,
                                 .options = own});
  if (!program.out_given) program.out = program.file(network);
  return examples::run(program, [&]<class T>(const Program& one) {
    return train_within<T>(one, options, network, goals);
  });
}
