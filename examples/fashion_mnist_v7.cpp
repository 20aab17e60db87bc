// FashionMNIST with the networks V5, V6, V7 and SEAir, one of them or several as an ensemble.
// Run: ./fashion_mnist_v7 --network v7 --epochs 15 --batch-size 256 --precision bfloat16
//      ./fashion_mnist_v7 --network v5 --epochs 10 --batch-size 128
//      ./fashion_mnist_v7 --network v6 --epochs 25 --batch-size 128 --cut-mix
//      ./fashion_mnist_v7 --network seair_medium --batch-size 500 --precision bfloat16 --tta
//      ./fashion_mnist_v7 --network v5 --test runs/fashion_mnist_v7/v5
#include <filesystem>

#include "seair.hpp"
#include "testing.hpp"

using namespace tinynet;
using examples::Program;

/// The sizes of SEAir; the other networks are those of networks.hpp.
std::optional<models::AirbenchOptions> seair(const std::string& network) {
  if (network == "seair_small") return models::seair_small();
  if (network == "seair_medium") return models::seair_medium();
  if (network == "seair_large") return models::seair_large();
  return {};
}

template <Scalar T>
examples::Trained train_one(const Program& program, const examples::FashionMnist& options,
                            const std::string& network) {
  if (const auto size = seair(network)) return examples::train_seair<T>(program, options, *size);
  return examples::with_network<T>(network, [&](auto& model) {
    nn::initialize(model, program.seed);
    auto optimizer = options.optimizer(model);
    return examples::train_and_test<T>(program, model, optimizer, options.recipe(program));
  });
}

template <Scalar T>
int test(const Program& program, const examples::FashionMnist& options, const std::string& network,
         const std::string& path) {
  const auto recipe = options.recipe(program);
  if (const auto size = seair(network)) {
    models::Airbench<T> model(*size);
    return examples::test_stored<float>(program, model, path, recipe);  // images in float
  }
  return examples::with_network<T>(
      network, [&](auto& model) { return examples::test_stored<T>(program, model, path, recipe); });
}

template <Scalar T>
int train_members(const Program& program, const examples::FashionMnist& options,
                  const std::string& network, std::int64_t members) {
  train::Ensemble ensemble;
  std::vector<examples::GridRow> finished;
  for (std::int64_t i = 0; i < members; ++i) {
    auto member = program;
    if (members > 1) {
      const auto seed = program.seed + static_cast<std::uint64_t>(i);
      member = examples::part(program, "seed-" + std::to_string(seed));
      member.seed = seed;
      examples::prepare_output(member.out);
      std::printf("member %lld of %lld\n", static_cast<long long>(i + 1),
                  static_cast<long long>(members));
    }
    const auto trained = train_one<T>(member, options, network);
    if (trained.status != 0) return trained.status;
    ensemble.add(trained.test);
    finished.push_back({member.out});
  }
  if (members > 1) {
    examples::summarize(program.out, finished);
    std::printf("ensemble of %lld: %s\n", static_cast<long long>(members),
                to_string(train::evaluate(ensemble.predictions())).c_str());
    examples::write_ensemble(program.out, finished, ensemble.predictions());
  }
  const auto folder = std::filesystem::path(program.out).parent_path().string();
  examples::print_table(folder, examples::runs_in(folder));
  return 0;
}

int main(int argc, char** argv) {
  examples::FashionMnist options;
  std::string network = "v7", tested;
  std::int64_t members = 1;
  auto own = options.options();
  own.push_back({"network",
                 "what is trained",
                 &network,
                 {"v5", "v6", "v7", "seair_small", "seair_medium", "seair_large"}});
  own.push_back(
      {"ensemble", "networks of successive seeds, tested together", &members, {}, 1, 100});
  own.push_back({.name = "test",
                 .help = "a run's folder: test its model (with its --limit-train), train nothing",
                 .value = &tested,
                 .setting = false});
  auto program = Program::parse(argc, argv,
                                {.claim = "Trains V5, V6, V7 or SEAir on FashionMNIST.",
                                 .name = "fashion_mnist_v7",
                                 .epochs = 15,
                                 .batch_size = 256,
                                 .options = own});
  if (!program.out_given)
    program.out = program.file(network);  // so that the networks can be compared
  if (!tested.empty()) program.writes_nothing();
  return examples::run(program, [&]<class T>(const Program& one) {
    if (!tested.empty()) return test<T>(one, options, network, tested);
    return train_members<T>(one, options, network, members);
  });
}
