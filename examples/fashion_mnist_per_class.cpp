// FashionMNIST with augmentation of some classes alone: those that are taken for each other.
// Run: ./fashion_mnist_per_class --network small --epochs 10 --augment
#include "fashion_mnist.hpp"

using namespace tinynet;
using examples::Program;

struct Experiment {
  std::string network = "small", classes = "T-shirt/top,Pullover,Coat,Shirt", schedule = "constant";
  double lr = 0.001, weight_decay = 0;
  bool augment = false;
};

std::vector<std::string> split_names(const std::string& list) {
  std::vector<std::string> names(1);
  for (const char letter : list) {
    if (letter == ',') names.emplace_back();
    else names.back() += letter;
  }
  return names;
}

template <Scalar T>
int train_per_class(const Program& program, const Experiment& e) {
  const auto train_set = data::fashion_mnist(program.data, data::Split::train);
  data::Transform augment;
  if (e.augment) {
    augment = data::per_class(train_set.classes(), split_names(e.classes),
                              data::compose({data::RandomAffine{.degrees = 10, .translate = 0.1f},
                                             data::RandomErasing{}}));
  }
  return examples::with_network<T>(e.network, [&](auto& model) {
    nn::initialize(model, program.seed);
    optim::AdamW optimizer(nn::parameters(model),
                           {.lr = e.lr,
                            .weight_decay = e.weight_decay,
                            .groups = {optim::no_weight_decay_for_norm_and_bias()}});
    const auto trained = examples::train_and_test<T>(
        program, model, optimizer,
        {.train_set = train_set,
         .test_set = data::fashion_mnist(program.data, data::Split::test),
         .loading = {.augment = augment, .normalize = data::channel_statistics(train_set)},
         .schedule = [e](std::int64_t steps) {
           return e.schedule == "constant" ? optim::constant(e.lr)
                                           : optim::cosine({.lr = e.lr, .steps = steps});
         }});
    if (trained.status != 0) return trained.status;
    std::printf(
        "%s\n",
        train::class_table(train::ConfusionMatrix(trained.test), train_set.classes()).c_str());
    return 0;
  });
}

int main(int argc, char** argv) {
  Experiment e;
  const auto program = Program::parse(
      argc, argv,
      {.claim = "Trains on FashionMNIST with augmentation of chosen classes.",
       .name = "fashion_mnist_per_class",
       .epochs = 10,
       .batch_size = 64,
       .options = {
           {"network", "what is trained; big has dropout", &e.network, {"small", "mid", "big"}},
           {"augment", "move, turn and erase images of the classes", &e.augment},
           {"classes", "names, with commas between them", &e.classes},
           {"lr", "learning rate of AdamW", &e.lr},
           {"weight-decay", "of weights", &e.weight_decay},
           {"schedule", "of the learning rate", &e.schedule, {"constant", "cosine"}}}});
  return examples::run(program, [&]<class T>() { return train_per_class<T>(program, e); });
}
