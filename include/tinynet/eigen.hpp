#pragma once

#include <Eigen/Core>

#include <tinynet/tensor/tensor.hpp>

/// Tensors as Eigen matrices, without a copy. Not part of the umbrella header: needs Eigen.
namespace tinynet::inline TINYNET_ABI {

template <class T>
using EigenMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A tensor [..., cols] as a matrix of `size / cols` rows that shares its storage: an image batch
/// [n, h, w, c] becomes [n*h*w, c]. The tensor must outlive the map.
template <class T>
Eigen::Map<EigenMatrix<T>> as_eigen(Tensor<T>& tensor) {
  const auto cols = tensor.shape().axes() ? tensor.shape()[-1] : 1;
  return {tensor.data(), cols ? tensor.size() / cols : 0, cols};
}
template <class T>
Eigen::Map<const EigenMatrix<T>> as_eigen(const Tensor<T>& tensor) {
  const auto cols = tensor.shape().axes() ? tensor.shape()[-1] : 1;
  return {tensor.data(), cols ? tensor.size() / cols : 0, cols};
}

/// Copies a matrix into a new tensor [rows, cols].
template <class Derived>
Tensor<typename Derived::Scalar> from_eigen(const Eigen::MatrixBase<Derived>& matrix) {
  Tensor<typename Derived::Scalar> tensor({matrix.rows(), matrix.cols()});
  as_eigen(tensor) = matrix;
  return tensor;
}

}  // namespace tinynet::inline TINYNET_ABI
