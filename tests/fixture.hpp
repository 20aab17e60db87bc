#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <string>

#include <tinynet/io/json_parser.hpp>
#include <tinynet/io/safetensors.hpp>
#include <tinynet/kernels/choose.hpp>

/// Stored values of PyTorch (tests/fixtures), and how tests are held against them.
namespace tinynet::tests {

inline io::Safetensors open_fixture(const char* name) {
  return io::Safetensors::open(std::filesystem::path(__FILE__).parent_path() / "fixtures" / name);
}

template <class T>
constexpr double one_op_bound = std::is_same_v<T, double> ? 1e-9 : 1e-5;
template <class T>
constexpr double ten_steps_bound = std::is_same_v<T, double> ? 1e-9 : 1e-3;

/// |a - b| / |b|, norms over the tensor; |a| where b is zero.
template <class T>
double relative_error(const Tensor<T>& a, const Tensor<double>& b) {
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < b.size(); ++i) {
    difference += std::pow(static_cast<double>(a.data()[i]) - b.data()[i], 2);
    norm += std::pow(b.data()[i], 2);
  }
  return std::sqrt(norm > 0 ? difference / norm : difference);
}

template <class T>
void check_near(const std::string& name, const Tensor<T>& ours, const Tensor<double>& theirs,
                double bound) {
  CAPTURE(name);
  REQUIRE(ours.shape() == theirs.shape());
  CHECK(relative_error(ours, theirs) <= bound);
}

/// One case of a fixture file: its settings and its tensors, images and convolution weights turned
/// to channels last. Keeps in mind which tensors were asked for.
struct Case {
  const io::Safetensors& file;
  std::string name;
  io::Json settings = io::parse_json(file.metadata().at(name));
  mutable std::set<std::string> used = {};

  bool has(const char* key) const { return settings.find(key) != nullptr; }
  template <class Value>
  const Value& setting(const char* key) const {
    CAPTURE(key);
    const auto* json = settings.find(key);
    REQUIRE(json != nullptr);
    const auto* value = json->as<Value>();
    REQUIRE(value != nullptr);
    return *value;
  }
  std::string text(const char* key) const { return setting<std::string>(key); }
  bool flag(const char* key) const { return setting<bool>(key); }
  int integer(const char* key) const { return static_cast<int>(setting<std::int64_t>(key)); }
  double number(const char* key) const {
    CAPTURE(key);
    REQUIRE(has(key));
    return settings.find(key)->number().value();
  }

  template <class T>
  Tensor<T> read(const std::string& tensor) const {
    used.insert(name + "." + tensor);
    return channels_last(file.read<T>(name + "." + tensor));
  }
  template <class T>
  void check(const std::string& tensor, const Tensor<T>& ours) const {
    check_near(name + "." + tensor, ours, read<double>(tensor), one_op_bound<T>);
  }
  void check_all_used() const {
    for (const auto& tensor : file.tensors()) {
      if (tensor.name.rfind(name + ".", 0) != 0) continue;
      CHECK_MESSAGE(used.count(tensor.name) == 1, "nothing was compared with ", tensor.name);
    }
  }

  /// [n, c, h, w] -> [n, h, w, c], and in the same way [oc, ic, kh, kw] -> [oc, kh, kw, ic].
  template <class T>
  static Tensor<T> channels_last(const Tensor<T>& planes) {
    if (planes.shape().axes() != 4) return planes;
    const auto& s = planes.shape();
    const std::int64_t pixels = s[2] * s[3];
    Tensor<T> turned({s[0], s[2], s[3], s[1]});
    for (std::int64_t i = 0; i < planes.size(); ++i) {
      const std::int64_t image = i / (s[1] * pixels), channel = i / pixels % s[1],
                         pixel = i % pixels;
      turned.data()[(image * pixels + pixel) * s[1] + channel] = planes.data()[i];
    }
    return turned;
  }
};

/// Runs `test(case)` for each case of a file, with the slowest and with the fastest kernels.
template <class Test>
void for_each_case(const char* file_name, Test test) {
  const auto file = open_fixture(file_name);
  for (const auto path : {kernels::Path::reference, kernels::Path::amx}) {
    const kernels::ScopedPathLimit limit(path);
    for (const auto& [name, text] : file.metadata()) {
      if (name == "torch") continue;  // its version
      CAPTURE(kernels::path_name(path));
      const Case c{file, name};
      test(c);
    }
  }
}

/// Step `i` of a tensor [steps, ...].
template <class T>
Tensor<T> at_step(const Tensor<T>& all, std::int64_t i) {
  Shape shape;
  for (int axis = 1; axis < all.shape().axes(); ++axis) shape.append(all.shape()[axis]);
  return all.rows(i, i + 1).reshape(shape);
}

}  // namespace tinynet::tests
