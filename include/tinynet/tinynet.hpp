#pragma once

/// What training needs, one include for each folder of docs/architecture.md, with xsimd alone. Beside it,
/// each by its own header, what needs other packages (tinynet/eigen.hpp, tinynet/io/image.hpp,
/// tinynet/data/image_folder.hpp) and what few units want (tinynet/report/, tinynet/winograd.hpp,
/// tinynet/float_tiles.hpp, tinynet/train/profile.hpp, tinynet/io/json.hpp, tinynet/data/resize.hpp).

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
