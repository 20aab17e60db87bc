#pragma once

#include <tinynet/nn/activation.hpp>
#include <tinynet/nn/batch_norm.hpp>
#include <tinynet/nn/clone.hpp>
#include <tinynet/nn/conv2d.hpp>
#include <tinynet/nn/depthwise_conv2d.hpp>
#include <tinynet/nn/dropout.hpp>
#include <tinynet/nn/init.hpp>
#include <tinynet/nn/layer.hpp>
#include <tinynet/nn/linear.hpp>
#include <tinynet/nn/members.hpp>
#include <tinynet/nn/pool2d.hpp>
#include <tinynet/nn/residual.hpp>
#include <tinynet/nn/save.hpp>
#include <tinynet/nn/sequential.hpp>
#include <tinynet/nn/squeeze_excite.hpp>
#include <tinynet/nn/summary.hpp>
