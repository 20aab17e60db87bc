#pragma once

/// Everything that needs xsimd alone, one include for each floor of docs/architecture.md. Beside it,
/// each by its own header: tinynet/eigen.hpp, tinynet/float_tiles.hpp, tinynet/io/image.hpp,
/// tinynet/data/image_folder.hpp and tinynet/report/.

#include <tinynet/autograd.hpp>
#include <tinynet/core.hpp>
#include <tinynet/data.hpp>
#include <tinynet/io.hpp>
#include <tinynet/models.hpp>
#include <tinynet/nn.hpp>
#include <tinynet/ops.hpp>
#include <tinynet/optim.hpp>
#include <tinynet/tensor.hpp>
#include <tinynet/train.hpp>
