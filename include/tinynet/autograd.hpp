#pragma once

#include <tinynet/autograd/backward.hpp>
#include <tinynet/autograd/context.hpp>
#include <tinynet/autograd/gradcheck.hpp>
#include <tinynet/autograd/parameter.hpp>
#include <tinynet/autograd/record.hpp>
#include <tinynet/autograd/variable.hpp>
