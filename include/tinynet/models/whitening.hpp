#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include <tinynet/kernels/symmetric_eigen.hpp>
#include <tinynet/tensor/tensor.hpp>

namespace tinynet::inline TINYNET_ABI::models {

/// The second moments of all square patches of images, E[patch * patch^T], without subtracting
/// their mean: [d * d], where d = kernel * kernel * channels counts a patch in the order of a
/// convolution's weights.
template <class P>
std::vector<double> patch_moments(const Tensor<P>& images, std::int64_t kernel) {  // [n, h, w, c]
  const auto& s = images.shape();
  if (s.axes() != 4 || kernel < 1 || kernel > s[1] || kernel > s[2] || s[0] == 0) {
    throw ShapeError(Message("whitening", "the images have no patch of that size")
                         .fact("images", s, "(n, h, w, c)")
                         .fact("patch", kernel, "pixels wide and high"));
  }
  const std::int64_t line = kernel * s[3], d = kernel * line;
  std::vector<double> moments(static_cast<std::size_t>(d * d));
  std::vector<double> patch(static_cast<std::size_t>(d));
  double* const sums = moments.data();
  for (std::int64_t n = 0; n < s[0]; ++n) {
    for (std::int64_t y = 0; y + kernel <= s[1]; ++y) {
      for (std::int64_t x = 0; x + kernel <= s[2]; ++x) {
        for (std::int64_t i = 0; i < kernel; ++i) {
          const P* from = images.data() + (((n * s[1] + y + i) * s[2]) + x) * s[3];
          std::copy_n(from, line, patch.begin() + i * line);
        }
        const double* const v = patch.data();
        for (std::int64_t i = 0; i < d; ++i) {
          for (std::int64_t j = 0; j <= i; ++j) sums[i * d + j] += v[i] * v[j];
        }
      }
    }
  }
  const auto count = static_cast<double>(s[0] * (s[1] - kernel + 1) * (s[2] - kernel + 1));
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) sums[j * d + i] = sums[i * d + j] /= count;
  }
  return moments;
}

/// Weights of a convolution whose outputs on images like these are uncorrelated and of mean square
/// 1: the eigenvectors of the patches' moments, each over the square root of its eigenvalue plus
/// eps, then the same ones negated, so that a rectifier behind loses nothing (Jordan 2024, "94% on
/// CIFAR-10 in 3.29 seconds on a single GPU"; Page 2019). Some thousand images are enough; they are
/// normalised as in training and not augmented.
template <class P>
Tensor<P> whitening_filters(const Tensor<P>& images,  // [n, h, w, c]
                            std::int64_t kernel,      // pixels
                            double eps = 5e-4) {      // -> [2 * d, kernel, kernel, c]
  auto moments = patch_moments(images, kernel);
  const std::int64_t c = images.shape()[3], d = kernel * kernel * c;
  std::vector<double> values(static_cast<std::size_t>(d)), vectors(moments.size());
  kernels::symmetric_eigen(values, vectors, moments, d);
  Tensor<P> filters({2 * d, kernel, kernel, c});
  for (std::int64_t i = 0; i < d * d; ++i) {
    const double value = std::max(0.0, values[static_cast<std::size_t>(i / d)]);
    const double tap = vectors[static_cast<std::size_t>(i)] / std::sqrt(value + eps);
    filters.data()[i] = static_cast<P>(tap);
    filters.data()[d * d + i] = static_cast<P>(-tap);
  }
  return filters;
}

}  // namespace tinynet::inline TINYNET_ABI::models
