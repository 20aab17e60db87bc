// Muon beyond its formula (tests/optim_rules.cpp): the orthogonalisation and its precision,
// parameters parted between optimizers, and optimizers that step as one.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <tinynet/optim/clip.hpp>
#include <tinynet/optim/lookahead.hpp>
#include <tinynet/optim/multi_optimizer.hpp>
#include <tinynet/optim/muon.hpp>
#include <tinynet/optim/sgd.hpp>
#include <tinynet/optim/split.hpp>

#include "messages.hpp"
#include "small_model.hpp"

using namespace tinynet;
using doctest::Approx;
using tests::message_of;
using tests::Model;

namespace {

constexpr kernels::NewtonSchulz five_steps{3.4445, -4.7750, 2.0315, 5, 1e-7};

template <class P>
Tensor<P> random_matrix(std::int64_t rows, std::int64_t cols) {
  return Tensor<P>::normal({rows, cols}, random::Key{3});
}

template <class S, class P>
Tensor<P> orthogonal(const Tensor<P>& m, const kernels::NewtonSchulz& iteration) {
  auto result = m.clone();
  kernels::newton_schulz<S>(kernels::matrix(result.data(), m.shape()[0], m.shape()[1]), iteration);
  return result;
}

/// |a - b| / |b|, Frobenius norms.
template <class P, class Q>
double distance(const Tensor<P>& a, const Tensor<Q>& b) {
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < b.size(); ++i) {
    difference += std::pow(double(a.data()[i]) - double(b.data()[i]), 2);
    norm += std::pow(double(b.data()[i]), 2);
  }
  return std::sqrt(difference / norm);
}

/// The largest element of |x x^T - I|, of x^T x where x is tall.
double distance_from_orthogonal(const Tensor<double>& x) {
  const std::int64_t rows = x.shape()[0], cols = x.shape()[1], n = std::min(rows, cols);
  double largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = i == j ? -1 : 0;
      for (std::int64_t k = 0; k < std::max(rows, cols); ++k) {
        sum += rows <= cols ? x(i, k) * x(j, k) : x(k, i) * x(k, j);
      }
      largest = std::max(largest, std::abs(sum));
    }
  }
  return largest;
}

double norm_of(const Tensor<float>& x) { return std::sqrt(kernels::sum_squares<float>(x.span())); }

}  // namespace

TEST_CASE("Newton-Schulz: the cubic iteration ends in an orthogonal matrix, the quintic near one") {
  const kernels::NewtonSchulz cubic{1.5, -0.5, 0, 40, 0};
  for (const auto& size : {std::pair{5, 12}, {12, 5}, {9, 9}, {1, 7}, {7, 1}}) {
    const int rows = size.first, cols = size.second;
    CAPTURE(rows);
    CAPTURE(cols);
    const auto m = random_matrix<double>(rows, cols);
    const auto exact = orthogonal<double>(m, cubic);
    CHECK(distance_from_orthogonal(exact) < 1e-9);
    // Singular values of 0.68 to 1.13 after five steps: at most 0.54 from 1 when squared.
    if (rows != cols) {  // a square random matrix may have a singular value near 0
      CHECK(distance_from_orthogonal(orthogonal<double>(m, five_steps)) < 0.6);
      CHECK(distance(orthogonal<double>(m, five_steps), exact) < 0.4);
    }
    // It does not depend on the size of the gradient.
    auto smaller = m.clone();
    kernels::scale<double>(smaller.span(), 1e-6);
    CHECK(distance(orthogonal<double>(smaller, cubic), exact) < 1e-9);
  }
}

TEST_CASE("Newton-Schulz in float, and in bfloat16 by every kernel") {
  for (const auto& size : {std::pair{24, 216}, {64, 33}, {130, 70}, {3, 5}}) {
    const int rows = size.first, cols = size.second;
    CAPTURE(rows);
    CAPTURE(cols);
    const auto m = random_matrix<float>(rows, cols);
    const auto exact = orthogonal<double>(random_matrix<double>(rows, cols), five_steps);
    CHECK(distance(orthogonal<float>(m, five_steps), exact) < 1e-4);
    for (const auto path : {kernels::Path::reference, kernels::Path::simd, kernels::Path::amx}) {
      const kernels::ScopedPathLimit limit(path);
      const double error = distance(orthogonal<bfloat16>(m, five_steps), exact);
      CHECK(error < 0.05);
      CHECK(error > 1e-4);  // it was computed in bfloat16
    }
  }
}

TEST_CASE("Newton-Schulz: zero stays zero") {
  const auto of_zeros = orthogonal<bfloat16>(Tensor<float>::zeros({3, 4}), five_steps);
  for (const float x : of_zeros.span()) {
    CHECK(x == 0);
  }
}

TEST_CASE_TEMPLATE("Muon in bfloat16 goes where Muon in full precision goes", P, float, double) {
  Model<P> rough, exact;
  const auto step = [](Model<P>& model, const optim::MuonOptions& options) {
    const auto parts = optim::split(model.list(), optim::matrices());
    optim::Muon muon(parts.matching, options);
    for (int i = 0; i < 10; ++i) {
      model.give_gradients(i);
      muon.step();
    }
  };
  const auto before = exact.parameters[0].value().clone();
  step(rough, {});
  step(exact, {.precision = optim::NewtonSchulzPrecision::full});
  for (const std::size_t i : {0, 3}) {
    const double error = distance(rough.parameters[i].value(), exact.parameters[i].value());
    CHECK(error < 0.01);
    CHECK(error > 1e-6);
  }
  CHECK(distance(before, exact.parameters[0].value()) > 0.05);
}

TEST_CASE("Muon: normalised weights have the norm sqrt(rows), groups have their own numbers") {
  Model<float> model;
  const auto parts = optim::split(model.list(), optim::matrices());
  optim::Muon muon(parts.matching, {.lr = 0.1,
                                    .normalize_weights = true,
                                    .groups = {{.where = optim::by_name("fc.*"), .lr_scale = 0}}});
  model.give_gradients(0);
  muon.step();
  CHECK(norm_of(model[3].value) == Approx(std::sqrt(2)).epsilon(1e-6));
  CHECK(norm_of(model[0].value) != Approx(std::sqrt(3)).epsilon(1e-6));

  model.parameters[3].set(Tensor<float>::zeros({2, 7}));  // cannot be brought to any norm
  model.give_gradients(1);
  muon.step();
  for (const float x : model[3].value.span()) CHECK(x == 0);

  Model<float> decayed;
  optim::Muon shrinking(optim::split(decayed.list(), optim::matrices()).matching,
                        {.lr = 0.1,
                         .weight_decay = 0.5,
                         .groups = {{.where = optim::by_name("fc.*"), .weight_decay = 2}}});
  const auto before = decayed.values();
  for (const std::size_t i : {0, 3}) {
    decayed.give_gradient(i, 0);
    for (auto& g : decayed[i].gradient.span()) g = 0;  // nothing but the decay
  }
  shrinking.step();
  CHECK(decayed.values()[0][0] == Approx(before[0][0] * 0.95).epsilon(1e-6));
  CHECK(decayed.values()[3][0] == Approx(before[3][0] * 0.8).epsilon(1e-6));
}

TEST_CASE("split and filters that combine") {
  const Model<float> model;
  const auto names = [](const ParameterList<float>& list) {
    std::string all;
    for (const auto& state : list) all += state->name + " ";
    return all;
  };
  const auto matrices = optim::split(model.list(), optim::matrices());
  CHECK(names(matrices.matching) == "conv1.weight fc.weight ");
  CHECK(names(matrices.rest) == "bn1.weight bn1.bias fc.bias ");
  const auto body = optim::split(model.list(), optim::matrices() && !optim::by_name("fc.*"));
  CHECK(names(body.matching) == "conv1.weight ");
  CHECK(names(body.rest) == "bn1.weight bn1.bias fc.weight fc.bias ");
  const auto either = optim::split(model.list(), optim::by_name("fc.*") || optim::by_name("conv*"));
  CHECK(names(either.matching) == "conv1.weight fc.weight fc.bias ");
  CHECK(message_of<StateError>(
            [&] { optim::split(model.list(), optim::matrices() && !optim::by_name("*")); }) ==
        "[split] no parameter matches\n  filter  (matrices and not name *)\n"
        "  came    5 parameters\n  there is  conv1.weight\n"
        "  hint: names are those of nn::parameters(model)");
}

TEST_CASE("MultiOptimizer steps as its parts would") {
  const optim::MuonOptions muon_options{.lr = 0.24, .momentum = 0.6};
  const optim::SgdOptions sgd_options{.lr = 0.06, .momentum = 0.85, .nesterov = true};
  Model<float> model, apart;
  const auto list = optim::split(model.list(), optim::matrices());
  const auto same = optim::split(apart.list(), optim::matrices());
  optim::MultiOptimizer both(optim::Muon(list.matching, muon_options),
                             optim::Sgd(list.rest, sgd_options));
  optim::Muon muon(same.matching, muon_options);
  optim::Sgd sgd(same.rest, sgd_options);
  CHECK(both.size() == 2);
  CHECK(both.parameters().size() == 5);
  for (int step = 0; step < 3; ++step) {
    model.give_gradients(step);
    apart.give_gradients(step);
    CHECK(optim::clip_grad_norm(both.parameters(), 2.0) ==
          Approx(optim::clip_grad_norm(apart.list(), 2.0)).epsilon(1e-6));
    if (step == 0) {
      both.step();
      muon.step();
      sgd.step();
    } else {
      both.step({.lr = 0.12, .momentum = 0.5});
      muon.step({.lr = 0.12, .momentum = 0.5});
      sgd.step({.lr = 0.03, .momentum = 0.5});
    }
  }
  for (std::size_t p = 0; p < 5; ++p) {
    for (std::size_t i = 0; i < model.values()[p].size(); ++i) {
      CHECK(model.values()[p][i] == Approx(apart.values()[p][i]).epsilon(1e-5));
    }
  }
  CHECK(both.steps() == 3);
  CHECK(both[1].steps() == 3);

  int count = 0;
  bool found = false;
  both.visit_state([&](const std::string& name, const auto&) {
    ++count;
    found |= name == "1.momentum_buffer.fc.bias";
  });
  CHECK(found);
  CHECK(count == 1 + (1 + 2 * 2) + (1 + 3 * 2));

  // A part without gradients rests.
  const auto before = model.values();
  model.give_gradient(2, 9);
  both.step();
  CHECK(model.values()[0] == before[0]);
  CHECK(model.values()[2] != before[2]);
  CHECK(both.steps() == 4);
  CHECK(both[0].steps() == 3);
  CHECK(message_of<StateError>([&] { both.step(); }) ==
        "[MultiOptimizer] no parameter has a gradient\n"
        "  hint: call loss.backward() before each step");

  // Where one part refuses, none has stepped.
  {
    Model<float> other;
    const auto parts = optim::split(other.list(), optim::matrices());
    optim::MultiOptimizer halves(optim::Muon(parts.matching, {.lr = 0.1}),
                                 optim::Sgd(parts.rest, {.lr = 0.1}));
    other.give_gradients(0);
    const auto untouched = other.values();
    CHECK(message_of<StateError>([&] {
            halves.step({.lr = 0.1, .momentum = 0.9});
          }).find("[Sgd] a step asks for momentum, but there was none at the start\n") == 0);
    CHECK(other.values() == untouched);
    halves.step(0.1);
    CHECK(halves[0].steps() == 1);
    // A part that rests is not asked.
    for (std::size_t i = 0; i < other.parameters.size(); ++i) {
      if (other[i].value.shape().axes() >= 2) other.give_gradient(i, 1);
    }
    halves.step({.lr = 0.1, .momentum = 0.9});
    CHECK(halves[0].steps() == 2);
    CHECK(halves[1].steps() == 1);
  }

  // And all of it goes into a Lookahead.
  optim::Lookahead lookahead(std::move(both), {.k = 2});
  model.give_gradients(5);
  lookahead.step(0.01);
  CHECK(lookahead.steps() == 5);
}

TEST_CASE("Muon: a gradient of zeros moves nothing, whatever eps") {
  for (const double eps : {1e-7, 1e-38}) {
    for (const auto precision :
         {optim::NewtonSchulzPrecision::bfloat16, optim::NewtonSchulzPrecision::full}) {
      CAPTURE(eps);
      Model<float> model;
      optim::Muon<float> muon(optim::split(model.list(), optim::matrices()).matching,
                              {.eps = eps, .precision = precision});
      const auto before = model.values();
      for (const auto& parameter : muon.parameters()) {
        std::fill_n(parameter->gradient.data(), parameter->gradient.size(), 0.0f);
        parameter->has_gradient = true;
      }
      muon.step();
      CHECK(model.values() == before);
    }
  }
}

TEST_CASE("what they refuse") {
  Model<float> model;
  const auto list = model.list();
  CHECK(message_of<StateError>([&] { optim::Muon<float> muon(list); }) ==
        "[Muon] a parameter is no matrix\n  parameter  bn1.weight\n  shape   [3]\n"
        "  hint: give it to another optimizer: optim::split(parameters, optim::matrices())");
  const auto matrices = optim::split(list, optim::matrices()).matching;
  const auto muon_error = [&](const optim::MuonOptions& options) {
    return message_of<StateError>([&] { optim::Muon<float> muon(matrices, options); });
  };
  CHECK(muon_error({.momentum = 1}).find("[Muon] momentum") == 0);
  CHECK(muon_error({.ns_steps = 0}).find("[Muon] ns_steps") == 0);
  for (const double eps : {-1.0, 0.0, 9e-39, std::nan("")}) {
    CHECK(
        muon_error({.eps = eps}).find("[Muon] eps is out of range\n  expected  1e-38 or more\n") ==
        0);
  }
  CHECK(muon_error({.ns_coefficients = {1, 2, std::nan("")}}).find("[Muon] ns_coefficients") == 0);
  CHECK(message_of<StateError>(
            [&] { optim::MultiOptimizer(optim::Sgd(list, {.lr = 1}), optim::Muon(matrices)); }) ==
        "[MultiOptimizer] two optimizers have the same parameter\n  parameter  conv1.weight\n"
        "  hint: part the list: optim::split(parameters, filter)");
  const auto rest = optim::split(list, optim::matrices()).rest;
  CHECK(message_of<StateError>(
            [&] { optim::MultiOptimizer(optim::Muon(matrices), optim::Sgd(rest)); }) ==
        "[MultiOptimizer] lr of the Sgd in it is out of range\n  expected  above 0\n"
        "  came    0");
}
