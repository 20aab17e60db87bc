#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "step.hpp"

/// The networks of examples/networks.hpp and airbench94 as modules of libtorch, in the order of
/// layers in which users of PyTorch write them.
namespace libtorch {

using torch::Tensor;
namespace nn = torch::nn;

inline nn::Conv2d conv(int in, int out, int kernel, int stride = 1, int groups = 1,
                       bool bias = false) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel)
                        .stride(stride)
                        .padding(kernel / 2)
                        .groups(groups)
                        .bias(bias));
}

/// A network that is called as forward(images) -> logits.
struct Net : nn::Module {
  virtual Tensor forward(Tensor images) = 0;  // [n, c, h, w] -> [n, classes]
};

/// Layers one after the other.
struct Chain final : Net {
  explicit Chain(nn::Sequential l) : layers(register_module("layers", l)) {}
  Tensor forward(Tensor x) override { return layers->forward(x); }
  nn::Sequential layers;
};

/// The toy CNN: 688,138 parameters.
inline std::shared_ptr<Net> toy() {
  const auto bias = [](int in, int out) { return conv(in, out, 3, 1, 1, true); };
  return std::make_shared<Chain>(
      nn::Sequential(bias(1, 32), nn::ReLU(), nn::MaxPool2d(2), bias(32, 64), nn::ReLU(),
                     nn::MaxPool2d(2), bias(64, 128), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(),
                     nn::Linear(1152, 512), nn::ReLU(), nn::Linear(512, 10)));
}

/// Squeeze-and-excite without bias.
struct GateImpl : nn::Module {
  explicit GateImpl(int channels)
      : gates(register_module(
            "gates",
            nn::Sequential(nn::AdaptiveAvgPool2d(1), nn::Flatten(),
                           nn::Linear(nn::LinearOptions(channels, channels / 16).bias(false)),
                           nn::ReLU(),
                           nn::Linear(nn::LinearOptions(channels / 16, channels).bias(false)),
                           nn::Sigmoid()))) {}
  Tensor forward(const Tensor& x) { return x * gates->forward(x).view({x.size(0), -1, 1, 1}); }
  nn::Sequential gates;
};
TORCH_MODULE(Gate);

/// relu(body(x) + shortcut(x)).
struct ResidualImpl : nn::Module {
  ResidualImpl(nn::Sequential b, int in, int out, int stride) : body(register_module("body", b)) {
    if (stride == 1 && in == out) return;
    shortcut =
        register_module("shortcut", nn::Sequential(conv(in, out, 1, stride), nn::BatchNorm2d(out)));
  }
  Tensor forward(const Tensor& x) {
    return torch::relu(body->forward(x).add_(shortcut ? shortcut->forward(x) : x));
  }
  nn::Sequential body, shortcut{nullptr};
};
TORCH_MODULE(Residual);

inline Residual basic_block(int in, int out, int stride, bool gated) {
  nn::Sequential body(conv(in, out, 3, stride), nn::BatchNorm2d(out),
                      nn::ReLU(nn::ReLUOptions(true)), conv(out, out, 3), nn::BatchNorm2d(out));
  if (gated) body->push_back(Gate(out));
  return Residual(body, in, out, stride);
}

inline Residual depthwise_block(int in, int out, int stride) {
  return Residual(
      nn::Sequential(conv(in, in, 3, stride, in), conv(in, out, 1), nn::BatchNorm2d(out),
                     nn::ReLU(nn::ReLUOptions(true)), conv(out, out, 3, 1, out), conv(out, out, 1),
                     nn::BatchNorm2d(out)),
      in, out, stride);
}

/// A 3x3 stem, stages of which all but the first halve the image, average pool, linear.
/// `block(in, out, stride)` makes a block.
template <class Block>
std::shared_ptr<Net> residual_net(int channels, const std::vector<int>& widths,
                                  const std::vector<int>& blocks, double dropout, Block block) {
  nn::Sequential layers(conv(channels, widths[0], 3), nn::BatchNorm2d(widths[0]),
                        nn::ReLU(nn::ReLUOptions(true)));
  int in = widths[0];
  for (std::size_t stage = 0; stage < widths.size(); ++stage) {
    for (int i = 0; i < blocks[stage]; ++i) {
      layers->push_back(block(in, widths[stage], stage > 0 && i == 0 ? 2 : 1));
      in = widths[stage];
    }
  }
  layers->push_back(nn::AdaptiveAvgPool2d(1));
  layers->push_back(nn::Flatten());
  if (dropout > 0) layers->push_back(nn::Dropout(dropout));
  layers->push_back(nn::Linear(in, 10));
  return std::make_shared<Chain>(layers);
}

/// airbench94: its whitening convolution and the scales of its norms are frozen.
struct Airbench94 final : Net {
  Airbench94() {
    whiten->weight.set_requires_grad(false);
    layers->push_back(whiten);
    layers->push_back(nn::GELU());
    int in = 24;
    for (const int out : {64, 256, 256}) {
      layers->push_back(conv(in, out, 3));
      layers->push_back(nn::MaxPool2d(2));
      add_norm(out);
      layers->push_back(conv(out, out, 3));
      add_norm(out);
      in = out;
    }
    layers->push_back(nn::MaxPool2d(3));
    layers->push_back(nn::Flatten());
    layers->push_back(nn::Linear(nn::LinearOptions(in, 10).bias(false)));
    register_module("layers", layers);
  }
  Tensor forward(Tensor x) override { return layers->forward(x) / 9; }

  nn::Conv2d whiten = nn::Conv2d(nn::Conv2dOptions(3, 24, 2));
  nn::Sequential layers;

 private:
  void add_norm(int channels) {
    nn::BatchNorm2d norm(nn::BatchNorm2dOptions(channels).eps(1e-12).momentum(0.4));
    norm->weight.set_requires_grad(false);
    layers->push_back(norm);
    layers->push_back(nn::GELU());
  }
};

inline std::shared_ptr<Net> make(tinynet::benchmarks::Network network) {
  using tinynet::benchmarks::Network;
  const auto plain = [](int in, int out, int stride) {
    return basic_block(in, out, stride, false);
  };
  const auto gated = [](int in, int out, int stride) { return basic_block(in, out, stride, true); };
  const std::vector<int> widths{64, 128, 256, 512};
  switch (network) {
    case Network::toy:
      return toy();
    case Network::resnet18:
      return residual_net(1, widths, {2, 2, 2, 2}, 0, plain);
    case Network::v7:
      return residual_net(1, widths, {2, 3, 3, 2}, 0, gated);
    case Network::depthwise:
      return residual_net(3, {20, 40, 80, 160}, {2, 2, 2, 2}, 0.2, depthwise_block);
    case Network::airbench94:
      return std::make_shared<Airbench94>();
  }
  return nullptr;
}

}  // namespace libtorch
