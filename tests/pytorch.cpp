// Against PyTorch: layers, losses, optimizers, schedules and ten training steps give the values that
// tests/fixtures/make_fixtures.py stored, in double and in float, by the reference and the fastest
// kernels.
#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/models/resnet.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>

#include "fixture.hpp"

using namespace tinynet;
using namespace tinynet::tests;

namespace {

/// Output and gradients of a function of the named tensors.
template <class T, class Function>
void check_function(const Case& c, const std::vector<std::string>& names, Function function) {
  Tape tape;
  auto ctx = Context::training(tape);
  std::vector<Variable<T>> in;
  for (const auto& name : names) in.push_back(Variable<T>::leaf(c.read<T>(name), tape));
  const auto y = function(in, ctx);
  c.check("y", y.value());
  y.backward(c.read<T>("dy"));
  for (std::size_t i = 0; i < in.size(); ++i) c.check("d" + names[i], in[i].gradient());
}

/// Sets the parameters and buffers of a model to those stored under their names.
template <class Model>
void read_values(const Case& c, Model& model) {
  const nn::Members members(model);
  members.for_parameters([&]<class P>(const std::string& name, Parameter<P>& parameter) {
    parameter.set(c.read<P>(name));
  });
  members.for_buffers([&]<class P>(const std::string& name, Tensor<P>& buffer) {
    buffer = c.read<P>(name);
  });
}

/// PyTorch's "conv1.weight" has its gradient beside it, as "conv1.dweight".
std::string gradient_name(std::string parameter) {
  const auto dot = parameter.rfind('.');
  return parameter.insert(dot == parameter.npos ? 0 : dot + 1, "d");
}

/// Output, gradients and running statistics of a layer whose names are those of PyTorch's module.
template <class T, class Layer>
void check_layer(const Case& c, Layer layer) {
  read_values(c, layer);
  Tape tape;
  auto ctx = Context::training(tape);
  if (!c.flag("training")) ctx.mode = Mode::evaluation;
  const auto x = Variable<T>::leaf(c.read<T>("x"), tape);
  const auto y = layer(x, ctx);
  c.check("y", y.value());
  y.backward(c.read<T>("dy"));
  c.check("dx", x.gradient());
  const nn::Members members(layer);
  members.for_parameters([&](const std::string& name, const auto& parameter) {
    c.check(gradient_name(name), parameter.gradient());
  });
  members.for_buffers([&](const std::string& name, const auto& buffer) {
    c.check(ctx.is_training() ? name + "_after" : name, buffer);
  });
}

/// The fixture's block: normalisation and relu behind the two convolutions.
template <class T>
struct DepthwiseSeparable {
  nn::DepthwiseSeparableConv2d<T> convolutions;
  nn::BatchNorm2d<T> bn;

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    return ops::relu(bn(convolutions(x, ctx), ctx), ctx);
  }
  void members(nn::Members& m) {
    convolutions.members(m);
    m("bn", bn);
  }
};

/// The test of each kind of case in layers.safetensors and blocks.safetensors.
template <class T>
std::map<std::string, std::function<void(const Case&)>> layer_tests() {
  using In = const std::vector<Variable<T>>&;
  std::map<std::string, std::function<void(const Case&)>> tests;
  const auto add_function = [&](const char* op, std::vector<std::string> names, auto function) {
    tests[op] = [=](const Case& c) { check_function<T>(c, names, function); };
  };
  // Layers without parameters: `make` builds one from the settings of the case.
  const auto add_plain = [&](const char* op, auto make) {
    tests[op] = [=](const Case& c) {
      auto layer = make(c);
      check_function<T>(c, {"x"}, [&](In in, Context& ctx) { return layer(in[0], ctx); });
    };
  };
  const auto add_layer = [&](const char* op, auto make) {
    tests[op] = [=](const Case& c) { check_layer<T>(c, make(c)); };
  };

  add_layer("linear", [](const Case& c) {
    const auto& shape = c.file.shape(c.name + ".weight");
    return nn::Linear<T>({.in = static_cast<int>(shape[1]), .out = static_cast<int>(shape[0]),
                          .bias = c.flag("bias")});
  });
  add_layer("conv2d", [](const Case& c) {
    const auto& shape = c.file.shape(c.name + ".weight");
    return nn::Conv2d<T>({.in = static_cast<int>(shape[1]) * c.integer("groups"),
                          .out = static_cast<int>(shape[0]), .kernel = c.integer("kernel"),
                          .stride = c.integer("stride"), .padding = c.integer("padding"),
                          .dilation = c.integer("dilation"), .groups = c.integer("groups"),
                          .bias = c.flag("bias")});
  });
  add_layer("depthwise_conv2d", [](const Case& c) {
    const auto& shape = c.file.shape(c.name + ".weight");
    return nn::DepthwiseConv2d<T>({.channels = static_cast<int>(shape[0]),
                                   .kernel = c.integer("kernel"), .stride = c.integer("stride"),
                                   .padding = c.integer("padding"), .bias = c.flag("bias")});
  });
  add_layer("batch_norm", [](const Case& c) {
    const auto& shape = c.file.shape(c.name + ".weight");
    return nn::BatchNorm2d<T>({.channels = static_cast<int>(shape[0]),
                               .momentum = c.number("momentum"), .eps = c.number("eps")});
  });
  add_layer("squeeze_excite", [](const Case& c) {
    const int channels = c.integer("channels");
    return nn::SqueezeExcite<T>({.channels = channels, .reduction = channels / c.integer("reduced")});
  });
  add_layer("residual", [](const Case& c) {
    return models::BasicBlock<T>({.in = c.integer("channels"), .out = c.integer("out"),
                                  .stride = c.integer("stride")});
  });
  add_layer("depthwise_separable", [](const Case& c) {
    return DepthwiseSeparable<T>{
        nn::DepthwiseSeparableConv2d<T>({.in = c.integer("channels"), .out = c.integer("out"),
                                         .stride = c.integer("stride")}),
        nn::BatchNorm2d<T>({.channels = c.integer("out")})};
  });

  const auto window = [](const Case& c) -> ops::PoolWindow {
    return {.kernel = c.integer("kernel"), .stride = c.integer("stride"),
            .padding = c.integer("padding")};
  };
  add_plain("max_pool2d", [=](const Case& c) { return nn::MaxPool2d<T>{window(c)}; });
  add_plain("avg_pool2d", [=](const Case& c) { return nn::AvgPool2d<T>{window(c)}; });
  add_plain("global_average_pool", [](const Case&) { return nn::GlobalAveragePool<T>{}; });
  add_plain("relu", [](const Case&) { return nn::Relu<T>{}; });
  add_plain("leaky_relu", [](const Case& c) { return nn::LeakyRelu<T>{{.slope = c.number("slope")}}; });
  add_plain("silu", [](const Case&) { return nn::Silu<T>{}; });
  add_plain("gelu", [](const Case&) { return nn::Gelu<T>{}; });
  add_plain("sigmoid", [](const Case&) { return nn::Sigmoid<T>{}; });
  add_plain("tanh", [](const Case&) { return nn::Tanh<T>{}; });
  add_plain("hard_swish", [](const Case&) { return nn::HardSwish<T>{}; });

  add_function("softmax", {"x"}, [](In in, Context& ctx) { return ops::softmax(in[0], ctx); });
  add_function("log_softmax", {"x"}, [](In in, Context& ctx) { return ops::log_softmax(in[0], ctx); });
  add_function("add", {"a", "b"}, [](In in, Context& ctx) { return ops::add(in[0], in[1], ctx); });
  add_function("multiply", {"a", "b"},
               [](In in, Context& ctx) { return ops::multiply(in[0], in[1], ctx); });
  add_function("scale_channels", {"x", "scale"},
               [](In in, Context& ctx) { return ops::scale_channels(in[0], in[1], ctx); });
  add_function("concat", {"a", "b"}, [](In in, Context& ctx) { return ops::concat(in, ctx); });
  tests["pad"] = [](const Case& c) {
    const ops::Border border{.top = c.integer("top"), .bottom = c.integer("bottom"),
                             .left = c.integer("left"), .right = c.integer("right")};
    check_function<T>(c, {"x"}, [&](In in, Context& ctx) { return ops::pad(in[0], border, ctx); });
  };
  return tests;
}

template <class T>
void check_loss(const Case& c) {
  const auto with_target = [&](const auto& target, auto loss) {
    check_function<T>(c, {"x"}, [&](const auto& in, Context& ctx) { return loss(in[0], target, ctx); });
  };
  const auto op = c.text("op");
  if (op == "cross_entropy") {
    const ops::CrossEntropyOptions options{.label_smoothing = c.number("label_smoothing")};
    const auto loss = [&](const auto& x, const auto& target, Context& ctx) {
      return ops::cross_entropy(x, target, options, ctx);
    };
    if (c.file.tensor(c.name + ".target").dtype == "I64") {
      with_target(c.read<std::int32_t>("target"), loss);
    } else {
      with_target(c.read<T>("target"), loss);
    }
  } else if (op == "mse") {
    with_target(c.read<T>("target"), ops::mse<T>);
  } else {
    REQUIRE(op == "bce_with_logits");
    with_target(c.read<T>("target"), ops::bce_with_logits<T>);
  }
}

template <class P>
std::unique_ptr<optim::Optimizer<P>> make_optimizer(const Case& c, const ParameterList<P>& parameters) {
  std::vector<optim::Group> groups;
  if (c.has("weight_decay_bias")) {
    groups.push_back({.where = optim::by_kind({ParameterKind::bias}),
                      .weight_decay = c.number("weight_decay_bias")});
  }
  const auto or_zero = [&](const char* key) { return c.has(key) ? c.number(key) : 0.0; };
  if (c.text("optimizer") == "sgd") {
    return std::make_unique<optim::Sgd<P>>(
        parameters, optim::SgdOptions{.lr = c.number("lr"), .momentum = or_zero("momentum"),
                                      .weight_decay = or_zero("weight_decay"),
                                      .nesterov = c.has("nesterov") && c.flag("nesterov"),
                                      .groups = groups});
  }
  REQUIRE(c.text("optimizer") == "adamw");
  return std::make_unique<optim::AdamW<P>>(
      parameters, optim::AdamWOptions{.lr = c.number("lr"), .beta1 = c.number("beta1"),
                                      .beta2 = c.number("beta2"), .eps = c.number("eps"),
                                      .weight_decay = c.number("weight_decay"), .groups = groups});
}

template <class P>
void check_optimizer(const Case& c) {
  nn::Linear<P> layer({.in = 7, .out = 5});
  layer.weight.set(c.file.read<P>("start.weight"));
  layer.bias.set(c.file.read<P>("start.bias"));
  const auto parameters = nn::parameters<P>(layer);
  const auto optimizer = make_optimizer(c, parameters);
  const auto lr = c.read<double>("lr");
  for (std::int64_t step = 0; step < lr.size(); ++step) {
    CAPTURE(step);
    for (const auto& parameter : parameters) {
      const auto gradient = at_step(c.file.read<P>("gradient." + parameter->name), step);
      std::copy(gradient.span().begin(), gradient.span().end(), parameter->gradient.data());
      parameter->has_gradient = true;
    }
    optimizer->step(lr(step));
    for (const auto& parameter : parameters) {
      check_near(c.name + "." + parameter->name, parameter->value,
                 at_step(c.read<double>(parameter->name), step), ten_steps_bound<P>);
    }
  }
}

optim::Schedule make_schedule(const Case& c) {
  const auto kind = c.text("schedule");
  const double lr = c.number("lr");
  if (kind == "ConstantLR") return optim::constant(lr);
  if (kind == "LinearLR") {
    return optim::linear({.lr = lr, .steps = c.integer("total_iters"),
                          .start_factor = c.number("start_factor"),
                          .end_factor = c.number("end_factor")});
  }
  if (kind == "CosineAnnealingLR") {
    return optim::cosine({.lr = lr, .steps = c.integer("T_max"), .final_lr = c.number("eta_min")});
  }
  if (kind == "StepLR") {
    return optim::step_decay({.lr = lr, .step_size = c.integer("step_size"),
                              .gamma = c.number("gamma")});
  }
  if (kind == "MultiStepLR") {
    std::vector<std::int64_t> milestones;
    for (const auto& each : c.setting<io::Json::Array>("milestones")) {
      milestones.push_back(*each.as<std::int64_t>());
    }
    return optim::multi_step_decay({.lr = lr, .milestones = milestones, .gamma = c.number("gamma")});
  }
  if (kind == "warmup_cosine") {
    const int warmup = c.integer("warmup");
    return optim::warm_up({.steps = warmup, .start_factor = c.number("start_factor")},
                          optim::cosine({.lr = lr, .steps = c.integer("total") - warmup,
                                         .final_lr = c.number("final")}));
  }
  REQUIRE(kind == "OneCycleLR");
  const auto anneal = c.text("anneal_strategy");
  REQUIRE((anneal == "cos" || anneal == "linear"));
  return optim::one_cycle(
      {.max_lr = c.number("max_lr"), .total_steps = c.integer("total_steps"),
       .pct_start = c.number("pct_start"),
       .anneal = anneal == "cos" ? optim::Anneal::cosine : optim::Anneal::linear,
       .base_momentum = c.number("base_momentum"), .max_momentum = c.number("max_momentum"),
       .div_factor = c.number("div_factor"), .final_div_factor = c.number("final_div_factor"),
       .three_phase = c.flag("three_phase")});
}

/// The fixture's network; PyTorch's names.
template <class T>
struct Network {
  nn::Conv2d<T> conv1{{.in = 2, .out = 8, .padding = 1, .bias = false}};
  nn::BatchNorm2d<T> bn1{{.channels = 8}};
  nn::Conv2d<T> conv2{{.in = 8, .out = 12, .padding = 1, .bias = false}};
  nn::BatchNorm2d<T> bn2{{.channels = 12}};
  nn::Linear<T> fc{{.in = 12, .out = 5}};

  Variable<T> operator()(const Variable<T>& x, Context& ctx) {
    auto y = ops::max_pool2d(ops::relu(bn1(conv1(x, ctx), ctx), ctx), {}, ctx);
    y = ops::relu(bn2(conv2(y, ctx), ctx), ctx);
    return fc(ops::global_average_pool(y, ctx), ctx);
  }
  void members(nn::Members& m) {
    m("conv1", conv1);
    m("bn1", bn1);
    m("conv2", conv2);
    m("bn2", bn2);
    m("fc", fc);
  }
};

}  // namespace

TEST_CASE_TEMPLATE("layers and ops: outputs, gradients, running statistics", T, double, float) {
  const auto tests = layer_tests<T>();
  for (const auto* file : {"layers.safetensors", "blocks.safetensors"}) {
    for_each_case(file, [&](const Case& c) {
      CAPTURE(c.text("op"));
      const auto test = tests.find(c.text("op"));
      REQUIRE(test != tests.end());
      test->second(c);
      c.check_all_used();
    });
  }
}

TEST_CASE_TEMPLATE("losses and their gradients", T, double, float) {
  for_each_case("losses.safetensors", [](const Case& c) {
    check_loss<T>(c);
    c.check_all_used();
  });
}

TEST_CASE_TEMPLATE("ten steps of each optimizer", P, double, float) {
  for_each_case("optim.safetensors", [](const Case& c) {
    check_optimizer<P>(c);
    c.check_all_used();
  });
}

TEST_CASE("schedules") {
  for_each_case("schedules.safetensors", [](const Case& c) {
    const auto schedule = make_schedule(c);
    const auto steps = c.integer("steps");
    Tensor<double> lr({steps}), momentum({steps});
    for (int step = 0; step < steps; ++step) {
      const auto settings = schedule(step);
      lr(step) = settings.lr;
      momentum(step) = settings.momentum.value_or(0);
    }
    c.check("lr", lr);
    if (c.text("schedule") == "OneCycleLR") c.check("momentum", momentum);
    c.check_all_used();
  });
}

TEST_CASE_TEMPLATE("ten training steps of a network with batch norm", T, double, float) {
  for_each_case("network.safetensors", [](const Case& c) {
    Network<T> network;
    nn::read_state(c.file, nn::Members(network), "start.");
    const auto optimizer = make_optimizer(c, nn::parameters<T>(network));
    const auto images = c.file.read<T>("images");
    const auto labels = c.file.read<std::int32_t>("labels");
    const auto batch = [&](std::int64_t step) {
      return Variable<T>(Case::channels_last(at_step(images, step)));
    };
    Tensor<T> losses({c.integer("steps")});
    for (std::int64_t step = 0; step < losses.size(); ++step) {
      Tape tape;
      auto ctx = Context::training(tape);
      const auto loss = ops::cross_entropy(network(batch(step), ctx), at_step(labels, step), {}, ctx);
      loss.backward();
      optimizer->step();
      losses(step) = loss.item();
    }
    const auto check = [&](const std::string& name, const auto& ours) {
      check_near(name, ours, Case::channels_last(c.file.read<double>(name)), ten_steps_bound<T>);
    };
    check("loss", losses);
    const nn::Members members(network);
    members.for_parameters([&](const std::string& name, auto& p) { check("end." + name, p.value()); });
    members.for_buffers([&](const std::string& name, auto& buffer) { check("end." + name, buffer); });
    auto evaluation = Context::evaluation();
    check("end.logits", network(batch(0), evaluation).value());
  });
}
