// Convolutions of tinynet and of oneDNN, alternately in one process on separate buffers: every
// distinct layer of V7 (a ResNet of blocks 2-3-3-2 and widths 64 to 512, one channel, 28 x 28, batch
// 256) and those of the depthwise net (batch 128), forward, input gradient, weight gradient. Packing
// of weights is outside on both sides; copies, conversions and plain fp32 weight gradients inside.
// "floor": products over the measured peak of their precision, or bytes over the rate of copying. Products
// are those of the definition, of which Winograd's way (fp32, 3 x 3 at stride 1) needs 4/9: it may pass the peak.
// Run: ./versus_onednn [--precision fp32|bf16|fp16] [--against onednn|fp32|one-thread]
//                      [--threads N] [--layers TEXT]
// ONEDNN_MAX_CPU_ISA=AVX2 holds oneDNN to AVX2, TINYNET_KERNELS=simd us to vectors. fp16 is compared
// with our own fp32, as oneDNN has none; `one-thread` with ourselves on one.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <tinynet/float_tiles.hpp>
#include <tinynet/kernels/conv2d.hpp>
#include <tinynet/kernels/depthwise_conv2d.hpp>
#include <tinynet/tensor.hpp>
#include <tinynet/winograd.hpp>

#include "layers.hpp"
#include "onednn_convolution.hpp"
#include "pairs.hpp"
#include "peaks.hpp"

using namespace tinynet;

namespace {

[[maybe_unused]] const bool winograd = kernels::include_winograd<bfloat16, float16>();

using benchmarks::Layer;

/// Those of V7, and with `in_v7` 0 those of the depthwise net.
std::vector<Layer> layers() {
  std::vector<Layer> all(std::begin(benchmarks::v7_layers), std::end(benchmarks::v7_layers));
  all.insert(all.end(), {{20, 0, 32, 128},
                         {40, 0, 16, 128},
                         {160, 0, 4, 128},
                         {20, 20, 32, 128, 1},
                         {160, 160, 4, 128, 1}});
  return all;
}

std::string name_of(const Layer& layer) {
  const auto n = [](std::int64_t v) { return std::to_string(v); };
  if (layer.oc == 0) return "depthwise " + n(layer.ic) + " at " + n(layer.side);
  return (layer.kernel == 1 ? "1x1 " : "") + n(layer.ic) + " -> " + n(layer.oc) +
         (layer.stride == 2 ? " /2" : "") + " at " + n(layer.side);
}

onednn::Convolution theirs(const Layer& layer, onednn::Precision precision) {
  const auto g = layer.geometry();
  return onednn::convolution({g.n, g.h, g.w, g.ic, g.oh, g.ow, g.oc, g.kh, g.kw, g.stride,
                              g.padding, g.dilation, g.groups},
                             precision);
}

/// Our passes of a layer.
template <Scalar T>
onednn::Convolution ours(const Layer& layer) {
  using P = param_t<T>;
  const auto g = layer.geometry();
  const auto x = Tensor<T>::normal({g.n, g.h, g.w, g.ic}, {1});
  const auto dy = Tensor<T>::normal({g.n, g.oh, g.ow, g.oc}, {2});
  const auto w = Tensor<P>::normal({g.oc, g.kh, g.kw, g.ic / g.groups}, {3});
  const Tensor<T> y(dy.shape()), dx(x.shape());
  const Tensor<P> dw(w.shape());
  const auto all = [](auto tensor) { return std::span(tensor.data(), tensor.span().size()); };
  if (layer.oc == 0) {
    return {[=] { kernels::depthwise_forward<T>(g).run(all(y), x.span(), w.span(), {}, {}, g); },
            [=] {
              kernels::depthwise_backward_input<T>(g).run(all(dx), Store::overwrite, dy.span(),
                                                          w.span(), g);
            },
            [=] {
              kernels::depthwise_backward_weight<T>(g).run(all(dw), Store::overwrite, dy.span(),
                                                           x.span(), {}, g);
            }};
  }
  const auto& forward = kernels::conv2d_forward<T>(g);
  const auto& input = kernels::conv2d_backward_input<T>(g);
  const auto pack = [&](const auto& version) {
    Buffer packed(static_cast<std::size_t>(version.packed_bytes(g)));
    version.pack(packed.data(), w.span(), g);
    return packed;
  };
  const auto forward_weights = pack(forward), input_weights = pack(input);
  return {[=, &forward] { forward.run(all(y), x.span(), forward_weights.data(), {}, g); },
          [=, &input] { input.run(all(dx), Store::overwrite, dy.span(), input_weights.data(), g); },
          [=] {
            kernels::conv2d_backward_weight<T>(g).run(all(dw), Store::overwrite, dy.span(),
                                                      x.span(), {}, g);
          }};
}

/// Pairs of an output and a tap along one axis that meet the image, not its padding.
std::int64_t taps_inside(std::int64_t size, std::int64_t outputs, std::int64_t kernel,
                         const kernels::Conv2dGeometry& g) {
  std::int64_t count = 0;
  for (std::int64_t out = 0; out < outputs; ++out) {
    for (std::int64_t tap = 0; tap < kernel; ++tap) {
      const auto in = out * g.stride - g.padding + tap * g.dilation;
      count += in >= 0 && in < size;
    }
  }
  return count;
}

/// Seconds that a pass of a layer cannot do without: its products over the peak, its operands over the
/// rate of copying. `gradient`: of the input, which is written whole; else a stride leaves pixels out.
double floor_seconds(const kernels::Conv2dGeometry& g, bool gradient, std::int64_t bytes,
                     double peak) {
  const auto taps = taps_inside(g.h, g.oh, g.kh, g) * taps_inside(g.w, g.ow, g.kw, g);
  const auto read = gradient ? g.h * g.w  // pixels of x
                             : std::min(g.h, g.oh * g.kh) * std::min(g.w, g.ow * g.kw);
  const auto weights = g.oc * (g.ic / g.groups);
  const auto images = g.n * (read * g.ic + g.oh * g.ow * g.oc);
  return std::max(2 * static_cast<double>(g.n * weights * taps) / peak,
                  static_cast<double>((images + g.kh * g.kw * weights) * bytes) /
                      benchmarks::peaks().copy_bytes);
}

/// A pass on one thread.
std::function<void()> on_one_thread(const std::function<void()>& pass) {
  return [pass] {
    const int threads = num_threads();
    set_num_threads(1);
    pass();
    set_num_threads(threads);
  };
}

struct Options {
  std::string precision = "bf16", against, layers;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--precision")) options.precision = argv[i + 1];
    else if (!std::strcmp(argv[i], "--against")) options.against = argv[i + 1];
    else if (!std::strcmp(argv[i], "--threads")) {
      set_num_threads(std::atoi(argv[i + 1]));
      onednn::set_num_threads(num_threads());
    } else if (!std::strcmp(argv[i], "--layers")) options.layers = argv[i + 1];
    else argc = 0;
  }
  const bool half = options.precision == "fp16";
  if (options.against.empty()) options.against = half ? "fp32" : "onednn";
  const bool known = half || options.precision == "fp32" || options.precision == "bf16";
  const bool comparable = options.against == "fp32" || options.against == "one-thread" ||
                          (options.against == "onednn" && !half);
  if (argc % 2 == 0 || !known || !comparable) {
    std::fprintf(stderr,
                 "usage: %s [--precision fp32|bf16|fp16] [--against onednn|fp32|one-thread] "
                 "[--threads N] [--layers TEXT]\n",
                 argv[0]);
    std::exit(2);
  }
  return options;
}

/// What a layer's passes are compared with.
onednn::Convolution compared(const Options& options, const Layer& layer,
                             const onednn::Convolution& mine) {
  if (options.against == "fp32") return ours<float>(layer);
  if (options.against == "one-thread") {
    return {on_one_thread(mine.forward), on_one_thread(mine.backward_input),
            on_one_thread(mine.backward_weight)};
  }
  return theirs(layer, options.precision == "bf16" ? onednn::Precision::bfloat16
                                                   : onednn::Precision::float32);
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse(argc, argv);
  const bool half = options.precision == "fp16", brain = options.precision == "bf16";
  const auto& peaks = benchmarks::peaks();
  // Of tiles float16 takes three products for one (conv2d/tile_pieces.hpp).
  const double peak = brain  ? peaks.half_operations()
                      : half ? std::max(peaks.float_operations, peaks.bfloat16_operations / 3)
                             : peaks.single_operations();
  std::printf("%s\npeak %.2f TFLOP/s, copy %.1f GB/s\n\n", cpu_report().c_str(), peak * 1e-12,
              peaks.copy_bytes * 1e-9);
  std::printf("%-24s %-7s %9s %13s %7s %9s %9s %7s\n", options.precision.c_str(), "pass", "ours ms",
              (options.against + " ms").c_str(), "ratio", "floor ms", "TFLOP/s", "% peak");
  double total_ours = 0, total_theirs = 0, weight_ours = 0, weight_theirs = 0, log_sum = 0;
  double small_ours = 0, small_theirs = 0;
  int count = 0;
  for (const auto& each : layers()) {
    const auto layer = name_of(each);
    if (layer.find(options.layers) == std::string::npos) continue;
    const auto g = each.geometry();
    const auto mine = brain ? ours<bfloat16>(each) : half ? ours<float16>(each) : ours<float>(each);
    const auto other = compared(options, each, mine);
    const auto pass = [&](const char* name, const auto& f, const auto& other_f, bool weight) {
      const auto t = benchmarks::compare(f, other_f, 9, 3e-3);
      const bool gradient = std::strcmp(name, "input") == 0;
      const double least = floor_seconds(g, gradient, options.precision == "fp32" ? 4 : 2, peak);
      const double rate = 2 * static_cast<double>(g.macs()) / t.ours;
      std::printf("%-24s %-7s %9.3f %13.3f %7.2f %9.3f %9.3f %7.1f\n", layer.c_str(), name,
                  t.ours * 1e3, t.theirs * 1e3, t.theirs / t.ours, least * 1e3, rate * 1e-12,
                  100 * rate / peak);
      std::fflush(stdout);
      total_ours += each.in_v7 * t.ours;
      total_theirs += each.in_v7 * t.theirs;
      if (weight) weight_ours += each.in_v7 * t.ours, weight_theirs += each.in_v7 * t.theirs;
      if (!each.in_v7) small_ours += t.ours, small_theirs += t.theirs;
      log_sum += std::log(t.theirs / t.ours);
      ++count;
    };
    pass("forward", mine.forward, other.forward, false);
    // Nobody asks for the gradient of the images.
    if (each.ic > 1) pass("input", mine.backward_input, other.backward_input, false);
    pass("weight", mine.backward_weight, other.backward_weight, true);
  }
  if (count == 0) {
    std::fprintf(stderr, "no layer has \"%s\" in its name\n", options.layers.c_str());
    return 2;
  }
  if (total_ours > 0) {
    std::printf("\nV7: ours %.1f ms, theirs %.1f ms\ntotal ratio %.2f\n", total_ours * 1e3,
                total_theirs * 1e3, total_theirs / total_ours);
    std::printf("weight gradient ratio %.2f\n", weight_theirs / weight_ours);
  }
  if (small_ours > 0) std::printf("depthwise net ratio %.2f\n", small_theirs / small_ours);
  std::printf("geomean ratio %.2f\n", std::exp(log_sum / count));
}
