#pragma once

#include <tinynet/train/checkpoint.hpp>
#include <tinynet/train/evaluate.hpp>
#include <tinynet/train/interrupt.hpp>
#include <tinynet/train/loop.hpp>
#include <tinynet/train/metrics.hpp>
#include <tinynet/train/progress.hpp>
