// FashionMNIST with the networks V5, V6 and V7, one of them or several as an ensemble.
// Run: ./fashion_mnist_v7 --network v7 --epochs 15 --batch-size 256 --precision bfloat16
//      ./fashion_mnist_v7 --network v5 --epochs 10 --batch-size 128
//      ./fashion_mnist_v7 --network v6 --epochs 25 --batch-size 128 --cut-mix
#include "fashion_mnist.hpp"

using namespace tinynet;
using examples::Program;

template <Scalar T>
int train_members(const Program& program, const examples::FashionMnist& options,
                  const std::string& network, std::int64_t members) {
  train::Ensemble ensemble;
  for (std::int64_t i = 0; i < members; ++i) {
    auto member = program;
    if (members > 1) {
      member.seed += static_cast<std::uint64_t>(i);
      member.out /= "seed-" + std::to_string(member.seed);
      examples::prepare_output(member.out);
      member.resume = program.resume && std::filesystem::exists(member.checkpoint());
      std::printf("member %lld of %lld\n", static_cast<long long>(i + 1),
                  static_cast<long long>(members));
    }
    const auto trained = examples::with_network<T>(network, [&](auto& model) {
      nn::initialize(model, member.seed);
      auto optimizer = options.optimizer(model);
      return examples::train_and_test<T>(member, model, optimizer, options.recipe(member));
    });
    if (trained.status != 0) return trained.status;
    ensemble.add(trained.test);
  }
  if (members > 1) {
    std::printf("ensemble of %lld: %s\n", static_cast<long long>(members),
                to_string(train::evaluate(ensemble.predictions())).c_str());
  }
  examples::print_runs(program.out.parent_path());
  return 0;
}

int main(int argc, char** argv) {
  examples::FashionMnist options;
  std::string network = "v7";
  std::int64_t members = 1;
  auto own = options.options();
  own.push_back({"network", "what is trained", &network, {"v5", "v6", "v7"}});
  own.push_back(
      {"ensemble", "networks of successive seeds, tested together", &members, {}, 1, 100});
  const auto program = Program::parse(argc, argv,
                                      {.claim = "Trains V5, V6 or V7 on FashionMNIST.",
                                       .name = "fashion_mnist_v7",
                                       .epochs = 15,
                                       .batch_size = 256,
                                       .options = own});
  return examples::run(
      program, [&]<class T>() { return train_members<T>(program, options, network, members); });
}
