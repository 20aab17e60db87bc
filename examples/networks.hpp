#pragma once

#include <tinynet/models.hpp>

/// The networks that the example programs compare, as settings of the library's families, each with
/// its number of parameters. Where an experiment did not say what its network was, it is ours.
namespace tinynet::examples::networks {

// FashionMNIST: 28 x 28, one channel.

/// 688,138.
inline models::CnnOptions toy() { return {}; }
/// 1,075,658. From PyTorch's first values its nine convolutions do not learn: the loss stays at ln 10.
inline models::CnnOptions structure2() {
  return {.convolutions = 3, .init = nn::init::kaiming_normal()};
}
/// 1,228,394, ours.
inline models::ResNetOptions structure4() {
  return {.channels = 1, .widths = {32, 64, 128, 256}, .blocks = {1, 1, 1, 1}};
}
/// 677,482, ours.
inline models::ResNetOptions resnet12() {
  return {.channels = 1, .widths = {32, 64, 128}, .blocks = {1, 2, 2}};
}
/// 2,776,522.
inline models::ResNetOptions resnet14() {
  return {.channels = 1, .widths = {64, 128, 256}, .blocks = {2, 2, 2}};
}
/// 696,042.
inline models::ResNetOptions resnet14_like() {
  return {.channels = 1, .widths = {32, 64, 128}, .blocks = {2, 2, 2}};
}
/// 701,418: with gates, for ablations.
inline models::ResNetOptions resnet14_like_se() {
  auto options = resnet14_like();
  options.squeeze_excite = 16;
  return options;
}
/// 11,172,810.
inline models::ResNetOptions resnet18() { return {.channels = 1}; }

/// 435,754, ours.
inline models::CnnOptions v5() {
  return {.convolutions = 2, .batch_norm = true, .hidden = 128, .dropout = 0.3};
}
/// 2,797,034, ours: eight blocks.
inline models::ResNetOptions v6() {
  return {.channels = 1, .widths = {32, 64, 128, 256}, .blocks = {2, 2, 2, 2}};
}
/// 12,746,186: ten blocks with gates.
inline models::ResNetOptions v7() {
  return {.channels = 1, .blocks = {2, 3, 3, 2}, .squeeze_excite = 16};
}

/// 2,211,806: SEAir in less than 10 MB.
inline models::AirbenchOptions seair_compact() { return models::seair({64, 160, 256}); }

/// 25,034, ours.
inline models::CnnOptions small() { return {.widths = {8, 16, 32}, .hidden = 64}; }
/// 98,442, ours.
inline models::CnnOptions mid() { return {.widths = {16, 32, 64}, .hidden = 128}; }
/// 390,634, ours.
inline models::CnnOptions big() { return {.batch_norm = true, .hidden = 256}; }

/// 104,426, ours.
inline models::CnnOptions growing_batch() { return {.batch_norm = true, .hidden = 0}; }

// CIFAR-10: 32 x 32, three channels.

/// 150,690.
inline models::DepthwiseNetOptions depthwise() { return {}; }
/// 11,173,962, to compare with.
inline models::ResNetOptions resnet18_color() { return {}; }

}  // namespace tinynet::examples::networks
