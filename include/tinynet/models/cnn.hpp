#pragma once

#include <vector>

#include <tinynet/models/widths.hpp>
#include <tinynet/nn/activation.hpp>
#include <tinynet/nn/batch_norm.hpp>
#include <tinynet/nn/conv2d.hpp>
#include <tinynet/nn/dropout.hpp>
#include <tinynet/nn/linear.hpp>
#include <tinynet/nn/pool2d.hpp>
#include <tinynet/nn/sequential.hpp>
#include <tinynet/ops/cast.hpp>

namespace tinynet::inline TINYNET_ABI::models {

struct CnnOptions {
  int channels = 1;                         // of the input
  int image = 28;                           // side of the input, pixels
  std::vector<int> widths = {32, 64, 128};  // channels of each stage
  int convolutions = 1;                     // of each stage, 3x3, each followed by relu
  bool batch_norm = false;                  // between convolution and relu
  double conv_dropout = 0;                  // behind each stage
  bool channel_dropout = true;              // there: of whole channels (Dropout2d), else of values
  int hidden = 512;                         // features between the two linear layers; 0: only one
  double dropout = 0;                       // before the last layer
  int classes = 10;
  /// Of the convolutions. More than a few without batch norm want kaiming_normal(): of PyTorch's values
  /// each hands on a sixth of the mean square that came.
  nn::init::Init init = nn::init::pytorch_default();
};

/// Stages of 3x3 convolutions, each halved by a 2x2 max pool, and one or two linear layers. The pool
/// stands directly behind a stage's last convolution: relu and maximum may change places, and a
/// quarter of the values is left to normalise and rectify.
template <Scalar T>
struct Cnn {
  using P = param_t<T>;
  CnnOptions options;
  nn::Sequential<T> features, classifier;
  nn::Linear<P> head;  // in float: logits should not be rounded to T

  explicit Cnn(CnnOptions o = {})
      : options(o), head({.in = o.hidden ? o.hidden : flat(o), .out = o.classes}) {
    require_count("Cnn", "convolutions", o.convolutions);
    int in = o.channels;
    for (const int width : o.widths) {
      for (int i = 0; i < o.convolutions; ++i) {
        features.add(nn::Conv2d<T>(
            {.in = in, .out = width, .padding = 1, .bias = !o.batch_norm, .init = o.init}));
        if (i + 1 == o.convolutions) features.add(nn::MaxPool2d<T>());
        if (o.batch_norm) features.add(nn::BatchNorm2d<T>({.channels = width}));
        features.add(nn::Relu<T>());
        in = width;
      }
      if (o.conv_dropout > 0 && o.channel_dropout) features.add(nn::Dropout2d<T>{o.conv_dropout});
      if (o.conv_dropout > 0 && !o.channel_dropout) features.add(nn::Dropout<T>{o.conv_dropout});
    }
    classifier.add(nn::Flatten<T>());
    if (o.hidden) {
      classifier.add(nn::Linear<T>({.in = flat(o), .out = o.hidden}));
      classifier.add(nn::Relu<T>());
    }
    if (o.dropout > 0) classifier.add(nn::Dropout<T>{o.dropout});
  }

  Variable<P> operator()(const Variable<T>& x, Context& ctx) {  // [n, h, w, c] -> [n, classes]
    const auto seen = nn::run_named("features", features, x, ctx);
    return head(ops::cast<P>(nn::run_named("classifier", classifier, seen, ctx), ctx), ctx);
  }
  void members(nn::Members& m) {
    m("features", features);
    m("classifier", classifier);
    m("head", head);
  }

 private:
  /// Features that leave the last stage.
  static int flat(const CnnOptions& o) {
    int side = o.image;
    for (std::size_t i = 0; i < o.widths.size(); ++i) side /= 2;
    return side * side * require_widths("Cnn", o.widths).back();
  }
};

}  // namespace tinynet::inline TINYNET_ABI::models
