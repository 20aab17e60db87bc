#pragma once

#include <tinynet/kernels/norm_act/fused_activation.hpp>

namespace tinynet::inline TINYNET_ABI::ops {

/// An activation as the ops take it that join it with a normalisation: any formula of
/// ops/activation.hpp converts to it. A default-constructed one is none.
using kernels::FusedActivation;
/// The formula of no activation.
using kernels::Identity;

}  // namespace tinynet::inline TINYNET_ABI::ops
