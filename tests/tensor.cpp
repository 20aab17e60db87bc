// Tensors: shapes, sharing, access, printing, the map to Eigen.
#include <numeric>
#include <sstream>

#include <doctest/doctest.h>

#include <tinynet/tensor/print.hpp>
#include <tinynet/tensor/tensor.hpp>

#if __has_include(<Eigen/Core>)
#include <tinynet/eigen.hpp>
#endif

using namespace tinynet;

namespace {

Tensor<float> counting(const Shape& shape) {
  Tensor<float> tensor(shape);
  std::iota(tensor.span().begin(), tensor.span().end(), 0.0f);
  return tensor;
}

}  // namespace

TEST_SUITE("shape") {
  TEST_CASE("sizes, elements, text") {
    const Shape shape{2, 3, 5};
    CHECK(shape.axes() == 3);
    CHECK(shape[0] == 2);
    CHECK(shape[-1] == 5);
    CHECK(shape.elements() == 30);
    CHECK(to_string(shape) == "[2, 3, 5]");
    CHECK(to_string(Shape{}) == "[]");
    CHECK(Shape{}.elements() == 1);
    CHECK(Shape{4, 0}.elements() == 0);
    CHECK(shape == Shape{2, 3, 5});
    CHECK(shape != Shape{2, 3});
    CHECK(shape != Shape{2, 3, 6});
  }

  TEST_CASE("what is no shape is refused by name") {
    CHECK_THROWS_WITH_AS(Shape({2, -3}), "[shape] the size of an axis is negative\n  came    -3",
                         ShapeError);
    CHECK_THROWS_WITH_AS(Shape({1, 1, 1, 1, 1, 1, 1}), "[shape] more than six axes", ShapeError);
    CHECK_THROWS_WITH_AS((Shape{2, 3}[2]), "[shape] no axis 2\n  shape   [2, 3]", ShapeError);
    CHECK_THROWS_WITH_AS((Shape{2, 3}[-3]), "[shape] no axis -3\n  shape   [2, 3]", ShapeError);
    const std::int64_t large = std::int64_t{1} << 40;
    CHECK_THROWS_WITH_AS((Shape{large, large}.elements()),
                         "[shape] more elements than 64 bits can count\n"
                         "  shape   [1099511627776, 1099511627776]",
                         ShapeError);
    const std::int64_t half = std::int64_t{1} << 31;  // 2^62 elements can be counted
    CHECK(Shape{half, half}.bytes(1) == std::size_t{1} << 62);
    CHECK_THROWS_WITH_AS(Tensor<float>({half, half}),
                         "[shape] more bytes than 64 bits can count\n"
                         "  shape   [2147483648, 2147483648]  4 bytes an element",
                         ShapeError);
    CHECK_THROWS_AS(Tensor<bfloat16>({half, half}), ShapeError);
  }
}

TEST_SUITE("tensor") {
  TEST_CASE_TEMPLATE("creation", T, float, double, bfloat16, float16) {
    CHECK(Tensor<T>().empty());
    CHECK(Tensor<T>::ones({2, 2})(1, 1) == T(1.0f));
    CHECK(Tensor<T>::zeros({3})(2) == T(0.0f));
    CHECK(Tensor<T>::full({2}, T(2.5f))(0) == T(2.5f));
    CHECK(Tensor<T>::scalar(T(3.0f)).item() == T(3.0f));
    CHECK(Tensor<T>::scalar(T(3.0f)).shape() == Shape{});
    const auto tensor = Tensor<T>::from({2, 2}, {T(1.0f), T(2.0f), T(3.0f), T(4.0f)});
    CHECK(tensor(1, 0) == T(3.0f));
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.data()) % 64 == 0);
  }

  TEST_CASE("whole numbers, for labels and pixels") {
    CHECK(Tensor<std::uint8_t>::full({3}, 255)(2) == 255);
    CHECK(Tensor<std::int32_t>::from({2}, {-1, 7})(0) == -1);
  }

  TEST_CASE("values must fill the shape") {
    CHECK_THROWS_WITH_AS(Tensor<float>::from({2, 2}, {1, 2, 3}),
                         "[Tensor::from] the values do not fill the shape\n"
                         "  shape   [2, 2]              4 elements\n"
                         "  came    3                   values",
                         ShapeError);
  }

  TEST_CASE("random tensors depend on the key alone, not on threads") {
    const int before = num_threads();
    const Shape shape{3, 50001};
    set_num_threads(1);
    const auto one = Tensor<float>::normal(shape, {9}, 2, 3);
    set_num_threads(3);
    const auto three = Tensor<float>::normal(shape, {9}, 2, 3);
    set_num_threads(before);
    CHECK(std::equal(one.span().begin(), one.span().end(), three.span().begin()));
    double mean = 0;
    for (const float x : one.span()) mean += x / double(one.size());
    CHECK(std::abs(mean - 2) < 5 * 3 / std::sqrt(double(one.size())));
    const auto uniform = Tensor<float>::uniform({1000}, {1}, -1, 4);
    for (const float x : uniform.span()) {
      CHECK(x >= -1);
      CHECK(x < 4);
    }
  }

  TEST_CASE("copies share storage, clones do not") {
    auto a = counting({2, 3});
    CHECK(a.unique());
    auto shared = a;
    auto copy = a.clone();
    CHECK_FALSE(a.unique());
    CHECK(copy.unique());
    shared(1, 2) = 50;
    CHECK(a(1, 2) == 50);
    CHECK(copy(1, 2) == 5);
  }

  TEST_CASE("reshape shares storage and works out one size") {
    const auto a = counting({2, 6});
    CHECK(a.reshape({3, 4}).data() == a.data());
    CHECK(a.reshape({3, 4})(2, 3) == 11);
    CHECK(a.reshape({-1}).shape() == Shape{12});
    CHECK(a.reshape({2, -1, 3}).shape() == Shape{2, 2, 3});
    CHECK(counting({0, 4}).reshape({2, -1}).shape() == Shape{2, 0});
    CHECK_THROWS_WITH_AS(a.reshape({5, 2}),
                         "[reshape] the number of elements would change\n"
                         "  from    [2, 6]              12 elements\n"
                         "  to      [5, 2]              10 elements",
                         ShapeError);
    CHECK_THROWS_WITH_AS(a.reshape({5, -1}),
                         "[reshape] the number of elements would change\n"
                         "  from    [2, 6]              12 elements\n"
                         "  to      [5, 2]              10 elements",
                         ShapeError);
    CHECK_THROWS_WITH_AS(counting({1}).reshape({-1, -1}),
                         "[reshape] only one size may be -1\n  from    [1]", ShapeError);
    CHECK_THROWS_AS(a.reshape({0, -1}), ShapeError);
    CHECK_THROWS_AS(counting({0, 4}).reshape({0, -1}), ShapeError);  // any size would do
    const std::int64_t large = std::int64_t{1} << 32;  // the product of two is 0 in 64 bits
    CHECK_THROWS_WITH_AS(a.reshape({large, large, -1}),
                         "[shape] more elements than 64 bits can count\n"
                         "  shape   [4294967296, 4294967296, 1]",
                         ShapeError);
  }

  TEST_CASE("rows are a view") {
    auto a = counting({4, 2, 3});
    auto middle = a.rows(1, 3);
    CHECK(middle.shape() == Shape{2, 2, 3});
    CHECK(middle(0, 0, 0) == 6);
    middle(0, 0, 0) = -1;
    CHECK(a(1, 0, 0) == -1);
    CHECK(a.rows(2, 2).empty());
    CHECK(middle.rows(1, 2)(0, 1, 2) == 17);
    CHECK(middle.clone()(1, 1, 2) == 17);
    CHECK(middle.reshape({12})(11) == 17);
    CHECK_THROWS_WITH_AS(a.rows(3, 5), "[rows] no such rows\n  rows    3 to 5\n  shape   [4, 2, 3]",
                         ShapeError);
    CHECK_THROWS_AS(a.rows(-1, 2), ShapeError);
    CHECK_THROWS_AS(a.rows(3, 2), ShapeError);
  }

  TEST_CASE("elements and items are checked") {
    const auto a = counting({2, 3});
    CHECK_THROWS_WITH_AS(a(0, 3), "[element] index 3 is out of range on axis 1\n  shape   [2, 3]",
                         ShapeError);
    CHECK_THROWS_AS(a(-1, 0), ShapeError);
    CHECK_THROWS_WITH_AS(a(1),
                         "[element] needs one index per axis\n  shape   [2, 3]\n  came    1        "
                         "           indices",
                         ShapeError);
    CHECK_THROWS_WITH_AS(a.item(), "[item] needs a tensor with one element\n  came    [2, 3]",
                         ShapeError);
    CHECK(counting({1, 1}).item() == 0);
  }
}

TEST_SUITE("print") {
  TEST_CASE("shape, range and all elements of a small tensor") {
    const auto tensor = Tensor<float>::from({2, 3}, {-1, 0, 1, 0.5, -1.5, 2.5});
    std::ostringstream out;
    out << tensor;
    CHECK(out.str() ==
          "Tensor<float> [2, 3]  min -1.5  max 2.5  mean 0.25\n"
          "[[-1, 0, 1],\n"
          " [0.5, -1.5, 2.5]]");
  }

  TEST_CASE("corners of a large one") {
    CHECK(to_string(counting({8, 9})) ==
          "Tensor<float> [8, 9]  min 0  max 71  mean 35.5\n"
          "[[0, 1, 2, ..., 6, 7, 8],\n"
          " [9, 10, 11, ..., 15, 16, 17],\n"
          " [18, 19, 20, ..., 24, 25, 26],\n"
          " ...,\n"
          " [45, 46, 47, ..., 51, 52, 53],\n"
          " [54, 55, 56, ..., 60, 61, 62],\n"
          " [63, 64, 65, ..., 69, 70, 71]]");
  }

  TEST_CASE("other types, scalars, nothing, and what is not a number") {
    CHECK(to_string(Tensor<std::uint8_t>::from({2}, {7, 255})) ==
          "Tensor<uint8> [2]  min 7  max 255  mean 131\n[7, 255]");
    CHECK(to_string(Tensor<bfloat16>::scalar(bfloat16(1.5f))) ==
          "Tensor<bfloat16> []  min 1.5  max 1.5  mean 1.5\n1.5");
    CHECK(to_string(Tensor<double>({0, 3})) == "Tensor<double> [0, 3]  empty");
    const auto inf = std::numeric_limits<float>::infinity();
    CHECK(to_string(Tensor<float>::from({2}, {1, inf})) ==
          "Tensor<float> [2]  min 1  max inf  mean inf  (1 not finite)\n[1, inf]");
    CHECK(to_string(counting({1, 2, 2})) ==
          "Tensor<float> [1, 2, 2]  min 0  max 3  mean 1.5\n"
          "[[[0, 1],\n"
          "  [2, 3]]]");
  }

  TEST_CASE("the range leaves out what is not a number, wherever it stands") {
    const auto nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(to_string(Tensor<float>::from({3}, {nan, 1, 3})) ==
          "Tensor<float> [3]  min 1  max 3  mean nan  (1 not finite)\n[nan, 1, 3]");
    CHECK(to_string(Tensor<float>::from({1}, {nan})) ==
          "Tensor<float> [1]  min nan  max nan  mean nan  (1 not finite)\n[nan]");
  }
}

#if __has_include(<Eigen/Core>)
TEST_SUITE("eigen") {
  TEST_CASE("a tensor is a matrix without a copy") {
    auto tensor = counting({2, 3, 4});
    auto map = as_eigen(tensor);
    CHECK(map.rows() == 6);
    CHECK(map.cols() == 4);
    CHECK(map.data() == tensor.data());
    CHECK(map(5, 3) == 23);
    map(0, 1) = -2;
    CHECK(tensor(0, 0, 1) == -2);
    const auto constant = tensor;
    CHECK(as_eigen(constant).data() == tensor.data());
    auto scalar = Tensor<double>::scalar(4);
    CHECK(as_eigen(scalar)(0, 0) == 4);
  }

  TEST_CASE("and back, by a copy") {
    Eigen::MatrixXd matrix(2, 3);  // column-major
    matrix << 1, 2, 3, 4, 5, 6;
    const auto tensor = from_eigen(matrix);
    CHECK(tensor.shape() == Shape{2, 3});
    CHECK(tensor(0, 2) == 3);
    CHECK(tensor(1, 0) == 4);
    CHECK(from_eigen(as_eigen(tensor).transpose())(2, 1) == 6);
  }
}
#endif
