// FashionMNIST within a budget: accuracy, bytes of parameters and latency, each checked.
// Run: ./fashion_mnist_budget --network resnet14_like --epochs 15
#include "fashion_mnist.hpp"

using namespace tinynet;
using examples::Program;

struct Budget {
  double accuracy = 0.95, megabytes = 10, milliseconds = 5;
};

/// One line a goal; the number of those that were missed.
int print_budget(const Budget& budget, double accuracy, double bytes,
                 const examples::Latency& latency) {
  int missed = 0;
  const auto line = [&](const char* what, double came, const char* sign, double goal, bool met) {
    std::printf("%-28s %10.4f   goal %s %.4f   %s\n", what, came, sign, goal,
                met ? "met" : "MISSED");
    missed += !met;
  };
  line("test accuracy", accuracy, ">=", budget.accuracy, accuracy >= budget.accuracy);
  line("parameters, megabytes", bytes / 1e6, "< ", budget.megabytes,
       bytes < budget.megabytes * 1e6);
  for (const auto& [name, ms] : {std::pair("latency p50, milliseconds", latency.p50),
                                 std::pair("latency p95, milliseconds", latency.p95)}) {
    line(name, ms, "< ", budget.milliseconds, ms < budget.milliseconds);
  }
  return missed;
}

template <Scalar T>
int train_within(const Program& program, const examples::FashionMnist& options,
                 const std::string& network, const Budget& budget) {
  const auto recipe = options.recipe(program);
  const data::Dataset& train_set = recipe.train_set;
  std::printf("%s\n%s\n", to_string(data::statistics(train_set)).c_str(),
              to_string(data::statistics(recipe.test_set)).c_str());
  return examples::with_network<T>(network, [&](auto& model) {
    nn::initialize(model, program.seed);
    std::printf("%s\n", to_string(nn::summary<T>(model, {1, 28, 28, 1})).c_str());
    auto optimizer = options.optimizer(model);
    const auto trained = examples::train_and_test<T>(program, model, optimizer, recipe);
    if (trained.status != 0) return trained.status;
    print_budget(budget, train::evaluate(trained.test).accuracy,
                 static_cast<double>(nn::parameter_bytes(model)),
                 examples::measure_latency<T>(model, {1, 28, 28, 1}));
    return 0;
  });
}

int main(int argc, char** argv) {
  examples::FashionMnist options;
  std::string network = "resnet14_like";
  Budget budget;
  auto own = options.options();
  own.push_back({"network",
                 "what is trained",
                 &network,
                 {"toy", "structure2", "structure4", "resnet12", "resnet14", "resnet14_like",
                  "resnet14_like_se", "resnet18"}});
  own.push_back({"goal-accuracy", "a fraction", &budget.accuracy, {}, 0, 1});
  own.push_back({"goal-megabytes", "of stored parameters", &budget.megabytes});
  own.push_back({"goal-milliseconds", "for one image", &budget.milliseconds});
  const auto program =
      Program::parse(argc, argv,
                     {.claim = "Trains a network on FashionMNIST and checks its budget.",
                      .name = "fashion_mnist_budget",
                      .epochs = 15,
                      .options = own});
  return examples::run(program, [&]<class T>(const Program& one) {
    return train_within<T>(one, options, network, budget);
  });
}
