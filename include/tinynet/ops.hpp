#pragma once

#include <tinynet/ops/activation.hpp>
#include <tinynet/ops/arithmetic.hpp>
#include <tinynet/ops/batch_norm.hpp>
#include <tinynet/ops/batch_norm_act.hpp>
#include <tinynet/ops/batch_norm_gate.hpp>
#include <tinynet/ops/cast.hpp>
#include <tinynet/ops/checkpoint.hpp>
#include <tinynet/ops/conv2d.hpp>
#include <tinynet/ops/depthwise_conv2d.hpp>
#include <tinynet/ops/dropout.hpp>
#include <tinynet/ops/fused_activation.hpp>
#include <tinynet/ops/linear.hpp>
#include <tinynet/ops/loss.hpp>
#include <tinynet/ops/pool2d.hpp>
#include <tinynet/ops/reshape.hpp>
#include <tinynet/ops/softmax.hpp>
