#pragma once

#include <tinynet/models/cnn.hpp>
#include <tinynet/models/depthwise.hpp>
#include <tinynet/models/resnet.hpp>
