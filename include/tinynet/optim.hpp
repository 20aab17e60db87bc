#pragma once

#include <tinynet/optim/adamw.hpp>
#include <tinynet/optim/clip.hpp>
#include <tinynet/optim/group.hpp>
#include <tinynet/optim/one_cycle.hpp>
#include <tinynet/optim/schedule.hpp>
#include <tinynet/optim/sgd.hpp>
