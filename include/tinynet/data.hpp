#pragma once

#include <tinynet/data/augment.hpp>
#include <tinynet/data/cifar.hpp>
#include <tinynet/data/dataset.hpp>
#include <tinynet/data/fashion_mnist.hpp>
#include <tinynet/data/idx.hpp>
#include <tinynet/data/loader.hpp>
#include <tinynet/data/mix.hpp>
#include <tinynet/data/normalize.hpp>
#include <tinynet/data/preview.hpp>
#include <tinynet/data/statistics.hpp>
