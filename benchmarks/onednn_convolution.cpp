#include "onednn_convolution.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <dnnl.hpp>
#include <functional>
#include <memory>
#include <unordered_map>

namespace tinynet::onednn {
namespace {

using dnnl::convolution_backward_data;
using dnnl::convolution_backward_weights;
using dnnl::convolution_forward;
using dnnl::memory;
using Arguments = std::unordered_map<int, memory>;

struct Shapes {
  memory::dims x, w, bias, y, strides, dilates, padding;
  bool grouped = false;

  explicit Shapes(const Geometry& g) {
    x = {g.n, g.ic, g.h, g.w};
    y = {g.n, g.oc, g.oh, g.ow};
    grouped = g.groups > 1;
    w = grouped ? memory::dims{g.groups, g.oc / g.groups, g.ic / g.groups, g.kh, g.kw}
                : memory::dims{g.oc, g.ic, g.kh, g.kw};
    strides = {g.stride, g.stride};
    dilates = {g.dilation - 1, g.dilation - 1};
    padding = {g.padding, g.padding};
  }
  memory::format_tag plain() const {
    return grouped ? memory::format_tag::goihw : memory::format_tag::oihw;
  }
};

/// Memory that holds small numbers: zeros or leftovers could be faster or slower than data.
memory filled(const memory::desc& desc, const dnnl::engine& engine) {
  memory m(desc, engine);
  auto* bytes = static_cast<unsigned char*>(m.get_data_handle());
  for (std::size_t i = 0; i < desc.get_size(); ++i)
    bytes[i] = static_cast<unsigned char>(60 + i % 3);
  return m;
}

std::function<void()> call(const dnnl::primitive& primitive, dnnl::stream stream,
                           const Arguments& arguments) {
  return [=]() mutable {
    primitive.execute(stream, arguments);
    stream.wait();
  };
}

}  // namespace

void set_num_threads([[maybe_unused]] int threads) {
#if defined(_OPENMP)
  omp_set_num_threads(threads);  // Debian's oneDNN asks OpenMP
#endif
}

Convolution convolution(const Geometry& g, Precision precision) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const dnnl::stream stream(engine);
  const Shapes s(g);
  const auto type =
      precision == Precision::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  const auto any = [&](const memory::dims& dims, memory::data_type t) {
    return memory::desc(dims, t, memory::format_tag::any);
  };
  constexpr auto algorithm = dnnl::algorithm::convolution_direct;

  const convolution_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_training, algorithm, any(s.x, type), any(s.w, type), any(s.y, type),
       s.strides, s.dilates, s.padding, s.padding},
      engine);
  Convolution result;
  result.forward = call(convolution_forward(forward), stream,
                        {{DNNL_ARG_SRC, filled(forward.src_desc(), engine)},
                         {DNNL_ARG_WEIGHTS, filled(forward.weights_desc(), engine)},
                         {DNNL_ARG_DST, filled(forward.dst_desc(), engine)}});

  const convolution_backward_data::primitive_desc input(
      {algorithm, any(s.x, type), any(s.w, type), any(s.y, type), s.strides, s.dilates, s.padding,
       s.padding},
      engine, forward);
  result.backward_input = call(convolution_backward_data(input), stream,
                               {{DNNL_ARG_DIFF_DST, filled(input.diff_dst_desc(), engine)},
                                {DNNL_ARG_WEIGHTS, filled(input.weights_desc(), engine)},
                                {DNNL_ARG_DIFF_SRC, filled(input.diff_src_desc(), engine)}});

  const convolution_backward_weights::primitive_desc weight(
      {algorithm, any(s.x, type), any(s.w, memory::data_type::f32), any(s.y, type), s.strides,
       s.dilates, s.padding, s.padding},
      engine, forward);
  const auto gradient = filled(weight.diff_weights_desc(), engine);
  const memory plain({s.w, memory::data_type::f32, s.plain()}, engine);
  const auto compute = call(convolution_backward_weights(weight), stream,
                            {{DNNL_ARG_SRC, filled(weight.src_desc(), engine)},
                             {DNNL_ARG_DIFF_DST, filled(weight.diff_dst_desc(), engine)},
                             {DNNL_ARG_DIFF_WEIGHTS, gradient}});
  const auto reorder = call(dnnl::reorder(gradient, plain), stream,
                            {{DNNL_ARG_FROM, gradient}, {DNNL_ARG_TO, plain}});
  const bool already_plain = gradient.get_desc() == plain.get_desc();
  result.backward_weight = [=] {
    compute();
    if (!already_plain) reorder();
  };
  return result;
}

}  // namespace tinynet::onednn
