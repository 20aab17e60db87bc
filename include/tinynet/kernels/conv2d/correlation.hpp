#pragma once

#include <numeric>

#include <tinynet/kernels/conv2d/contract.hpp>

/// The forward pass and the input gradient as one thing: a correlation whose taps move by a fixed
/// number of input pixels from output to output.
///
/// Forward it is one already. The gradient of input pixel ih collects dy[oh] * w[kh] over all
/// oh*s - p + kh*d = ih, so only taps with kh*d = ih + p (mod s) reach it. Pixels of the same
/// residue share their taps, and walking along them by s moves the reading place in dy by one: for
/// each residue it is a correlation of step 1 with the taps of that residue, in reverse order. A
/// residue without taps has gradient zero.
namespace tinynet::inline TINYNET_ABI::kernels {

/// One axis of a correlation, for the outputs of one residue. Output i < count lies at
/// origin + i * spread and reads, for j < taps, input i * step + offset(j) times weight index(j).
struct Phase {
  std::int64_t count = 0, origin = 0, spread = 1, step = 1;
  std::int64_t taps = 0;
  std::int64_t first_index = 0, index_step = 1;
  std::int64_t first_offset = 0, offset_step = 1;  // offsets ascend

  std::int64_t index(std::int64_t j) const { return first_index + j * index_step; }
  std::int64_t offset(std::int64_t j) const { return first_offset + j * offset_step; }
};

constexpr Phase forward_phase(std::int64_t outputs, std::int64_t window, const Conv2dGeometry& g) {
  return {.count = outputs,
          .step = g.stride,
          .taps = window,
          .first_offset = -g.padding,
          .offset_step = g.dilation};
}

constexpr Phase backward_phase(std::int64_t residue, std::int64_t inputs, std::int64_t window,
                               const Conv2dGeometry& g) {
  const auto s = g.stride, d = g.dilation;
  const auto origin = ((residue - g.padding) % s + s) % s;
  Phase phase{
      .count = inputs > origin ? (inputs - origin - 1) / s + 1 : 0, .origin = origin, .spread = s};
  const auto period = s / std::gcd(s, d);  // between taps of one residue
  for (std::int64_t k = 0; k < period && k < window; ++k) {
    if (k * d % s != residue) continue;
    phase.taps = (window - 1 - k) / period + 1;
    phase.first_index = k + (phase.taps - 1) * period;
    phase.index_step = -period;
    phase.first_offset = (origin + g.padding - phase.first_index * d) / s;  // divides exactly
    phase.offset_step = period * d / s;
  }
  return phase;
}

/// A correlation with `phases` residues along each axis.
struct Correlation {
  Conv2dGeometry g;
  bool backward = false;
  std::int64_t phases = 1;
  std::int64_t in_h = 0, in_w = 0, in_c = 0;  // in_c and out_c count the channels of all groups
  std::int64_t out_h = 0, out_w = 0, out_c = 0;

  std::int64_t group_in() const { return in_c / g.groups; }
  std::int64_t group_out() const { return out_c / g.groups; }
  std::int64_t group_ic() const { return g.ic / g.groups; }  // of the weights, in either direction
  std::int64_t tap_count() const { return g.kh * g.kw; }
  [[gnu::noinline]] Phase rows(std::int64_t r) const {
    return backward ? backward_phase(r, out_h, g.kh, g) : forward_phase(out_h, g.kh, g);
  }
  [[gnu::noinline]] Phase cols(std::int64_t r) const {
    return backward ? backward_phase(r, out_w, g.kw, g) : forward_phase(out_w, g.kw, g);
  }
};

constexpr Correlation forward_correlation(const Conv2dGeometry& g) {
  return {
      .g = g, .in_h = g.h, .in_w = g.w, .in_c = g.ic, .out_h = g.oh, .out_w = g.ow, .out_c = g.oc};
}

constexpr Correlation backward_correlation(const Conv2dGeometry& g) {
  return {.g = g,
          .backward = true,
          .phases = g.stride,
          .in_h = g.oh,
          .in_w = g.ow,
          .in_c = g.oc,
          .out_h = g.h,
          .out_w = g.w,
          .out_c = g.ic};
}

}  // namespace tinynet::inline TINYNET_ABI::kernels
