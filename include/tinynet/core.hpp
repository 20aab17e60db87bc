#pragma once

#include <tinynet/core/buffer.hpp>
#include <tinynet/core/config.hpp>
#include <tinynet/core/cpu.hpp>
#include <tinynet/core/distributions.hpp>
#include <tinynet/core/error.hpp>
#include <tinynet/core/function.hpp>
#include <tinynet/core/list.hpp>
#include <tinynet/core/memory_report.hpp>
#include <tinynet/core/parallel.hpp>
#include <tinynet/core/random.hpp>
#include <tinynet/core/require_setting.hpp>
#include <tinynet/core/required.hpp>
#include <tinynet/core/scratch.hpp>
#include <tinynet/core/simd.hpp>
#include <tinynet/core/trace.hpp>
#include <tinynet/core/types.hpp>
