// FashionMNIST with n views of each image in a batch (arXiv 2105.13343) and k augmentations.
// Run: ./fashion_mnist_growing_batch train --n 4 --k 4
//      ./fashion_mnist_growing_batch test --model-path runs/fashion_mnist_growing_batch/DATE
//      ./fashion_mnist_growing_batch train --model-path FOLDER      goes on from those weights
//      ./fashion_mnist_growing_batch train --grid                   seven runs, 67 million images
#include "fashion_mnist.hpp"

using namespace tinynet;
using examples::Program;

struct Experiment {
  std::string model_path;
  std::int64_t n = 1, k = 0;
  double lr = 0.001;
  bool growing = true, grid = false;
};

/// The first k of seven; each happens to half of the views, once.
data::Transform augmentations(std::int64_t k) {
  std::vector<data::Transform> all{
      data::HorizontalFlip{.probability = 1}, data::RandomCrop{.padding = 2},
      data::RandomAffine{.degrees = 10},      data::Brightness{.amount = 0.3f},
      data::Contrast{.amount = 0.3f},         data::GaussianBlur{},
      data::RandomErasing{.probability = 1}};
  all.resize(static_cast<std::size_t>(k));
  for (auto& transform : all) transform = data::sometimes(0.5f, transform);
  return data::compose(std::move(all));
}

/// A file, or the folder of a run.
std::filesystem::path model_file(const Experiment& e) {
  if (e.model_path.empty()) {
    throw StateError(Message("test", "there is no model to test")
                         .hint("name the folder of a run: --model-path FOLDER"));
  }
  const std::filesystem::path path = e.model_path;
  return std::filesystem::is_directory(path) ? path / "model.safetensors" : path;
}

template <Scalar T>
examples::Trained train_one(const Program& program, const Experiment& e) {
  const auto train_set = data::fashion_mnist(program.data, data::Split::train);
  models::Cnn<T> model(examples::networks::growing_batch());
  nn::initialize(model, program.seed);
  if (!e.model_path.empty()) nn::load(model, model_file(e));
  optim::AdamW optimizer(nn::parameters(model), {.lr = e.lr, .weight_decay = 0});
  return examples::train_and_test<T>(
      program, model, optimizer,
      {.train_set = train_set,
       .test_set = data::fashion_mnist(program.data, data::Split::test),
       .loading = {.augment = augmentations(e.k),
                   .normalize = data::channel_statistics(train_set),
                   .views = e.n,
                   .growing_batch = e.growing}});
}

/// The seven runs, and what the experiment that they repeat came to.
template <Scalar T>
int train_grid(const Program& program, Experiment e) {
  struct Row {
    std::int64_t n, k, epochs;
    double accuracy, loss;
  };
  const auto images = program.limited(data::fashion_mnist(program.data, data::Split::train)).size();
  std::string table =
      "  n  k  epochs   images   accuracy  95 % interval     loss    there: accuracy   loss\n";
  for (const Row& row :
       {Row{1, 0, 10, 82.4, 0.599}, Row{1, 4, 10, 80.6, 0.591}, Row{2, 4, 10, 82.2, 0.566},
        Row{4, 4, 10, 82.3, 0.586}, Row{6, 7, 20, 80.6, 0.701}, Row{8, 7, 20, 79.9, 0.663},
        Row{6, 7, 128, 81.1, 1.429}}) {
    e.n = row.n;
    e.k = row.k;
    auto one = program;
    one.epochs = row.epochs;
    one.out /= "n" + std::to_string(row.n) + "-k" + std::to_string(row.k) + "-epochs" +
               std::to_string(row.epochs);
    examples::prepare_output(one.out);
    one.resume = program.resume && std::filesystem::exists(one.checkpoint());
    std::printf("n %lld, k %lld\n", static_cast<long long>(row.n), static_cast<long long>(row.k));
    const auto trained = train_one<T>(one, e);
    if (trained.status != 0) return trained.status;
    const auto test = train::evaluate(trained.test);
    char line[160];
    std::snprintf(line, sizeof line,
                  "%3lld %2lld %7lld %8lld   %6.2f %%  %5.2f to %5.2f   %7.4f    %15.1f %6.3f\n",
                  static_cast<long long>(row.n), static_cast<long long>(row.k),
                  static_cast<long long>(row.epochs),
                  static_cast<long long>(row.n * row.epochs * images), 100 * test.accuracy,
                  100 * test.low, 100 * test.high, test.loss, row.accuracy, row.loss);
    table += line;
  }
  std::printf("%s", table.c_str());
  return 0;
}

template <Scalar T>
int test(const Program& program, const Experiment& e) {
  models::Cnn<T> model(examples::networks::growing_batch());
  nn::load(model, model_file(e));
  const auto normalize =
      data::channel_statistics(data::fashion_mnist(program.data, data::Split::train));
  const data::Loader<T> tests(
      data::fashion_mnist(program.data, data::Split::test),
      {.batch_size = program.batch_size, .shuffle = false, .normalize = normalize});
  train::Progress progress(1, tests.batches());
  train::Mean loss;
  train::Accuracy accuracy;
  progress.begin(0);
  for (const auto& batch : tests.epoch()) {
    auto ctx = Context::evaluation();
    const auto logits = model(batch.images, ctx);
    loss.add(ops::cross_entropy(logits, batch.labels, {}, ctx).item(),
             static_cast<double>(batch.size()));
    accuracy.add(train::count_correct(logits, batch.labels), batch.size());
    progress.step({{"loss", loss.value()}, {"acc", accuracy.value()}});
  }
  progress.finish({{"loss", loss.value()}, {"acc", accuracy.value()}});
  return 0;
}

int main(int argc, char** argv) {
  Experiment e;
  auto program = Program::parse(
      argc, argv,
      {.claim = "Trains on FashionMNIST with n views of each image, or tests what came of it.",
       .name = "fashion_mnist_growing_batch",
       .epochs = 10,
       .batch_size = 32,
       .options = {{"model-path", "a run's folder: what is tested, or where training begins",
                    &e.model_path},
                   {"n", "views of an image in a batch", &e.n, {}, 1, 64},
                   {"k", "augmentations, each at most once a view", &e.k, {}, 0, 7},
                   {"lr", "learning rate of Adam", &e.lr},
                   {"growing", "n times as many images a batch; else n times fewer samples",
                    &e.growing},
                   {"grid", "train with seven pairs of n and k", &e.grid}},
       .actions = {"train", "test"},
       .dated = true});
  if (program.action == "test") program.out.clear();
  return examples::run(program, [&]<class T>() {
    if (program.action == "test") return test<T>(program, e);
    return e.grid ? train_grid<T>(program, e) : train_one<T>(program, e).status;
  });
}
