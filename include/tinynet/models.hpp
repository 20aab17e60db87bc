#pragma once

#include <tinynet/models/airbench.hpp>
#include <tinynet/models/cnn.hpp>
#include <tinynet/models/depthwise.hpp>
#include <tinynet/models/resnet.hpp>
#include <tinynet/models/whitening.hpp>
