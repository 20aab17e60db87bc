#pragma once

#include <tinynet/tensor/print.hpp>
#include <tinynet/tensor/shape.hpp>
#include <tinynet/tensor/tensor.hpp>
