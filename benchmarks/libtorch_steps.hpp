#pragma once

#include <cstdint>
#include <functional>

/// Training steps of libtorch behind plain functions: its headers take longer to compile than all of
/// tinynet's, so they stay in one unit.
namespace libtorch {

void set_num_threads(int threads);

/// The toy CNN of S1 (688,138 parameters) on random images [batch, 1, 28, 28]: forward, backward,
/// SGD with momentum. With `bf16` under autocast, channels last, which is its faster setting there.
std::function<void()> toy_cnn_step(std::int64_t batch, bool bf16);

}  // namespace libtorch
