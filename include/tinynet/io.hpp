#pragma once

#include <tinynet/io/gzip.hpp>
#include <tinynet/io/safetensors.hpp>
#include <tinynet/io/tensor_check.hpp>
