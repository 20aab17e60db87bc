#pragma once

#include <tinynet/train/average.hpp>
#include <tinynet/train/batch.hpp>
#include <tinynet/train/checkpoint.hpp>
#include <tinynet/train/early_stopping.hpp>
#include <tinynet/train/ema.hpp>
#include <tinynet/train/evaluate.hpp>
#include <tinynet/train/interrupt.hpp>
#include <tinynet/train/loop.hpp>
#include <tinynet/train/lr_find.hpp>
#include <tinynet/train/metrics.hpp>
#include <tinynet/train/progress.hpp>
#include <tinynet/train/weights.hpp>
