#pragma once

#include <tinynet/data/augment/adjust.hpp>
#include <tinynet/data/augment/affine.hpp>
#include <tinynet/data/augment/color_jitter.hpp>
#include <tinynet/data/augment/combine.hpp>
#include <tinynet/data/augment/erase.hpp>
#include <tinynet/data/augment/filter.hpp>
#include <tinynet/data/augment/flip.hpp>
#include <tinynet/data/augment/hue.hpp>
#include <tinynet/data/augment/levels.hpp>
#include <tinynet/data/augment/noise.hpp>
#include <tinynet/data/augment/options.hpp>
#include <tinynet/data/augment/perspective.hpp>
#include <tinynet/data/augment/policy.hpp>
#include <tinynet/data/augment/resize.hpp>
#include <tinynet/data/augment/resized_crop.hpp>
#include <tinynet/data/augment/shift.hpp>
#include <tinynet/data/augment/transform.hpp>

/// Augmentation changes an image on its way from the data set to a batch: `data::compose({
/// data::RandomCrop{}, data::HorizontalFlip{}, data::RandomErasing{.probability = 0.25f}})`.
///
/// Each transform is a struct of options with defaults, called with (Image&, random::Generator&);
/// most stand beside a function of the same family that does one definite thing to an image. Images
/// are bytes, channels last, one channel (grey) or three (red, green, blue), and change in place.
