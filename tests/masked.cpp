// The same binary where the kernel refuses tiles: a filter denies the request for their state, as an
// older kernel or a sandbox would, before anything has asked. Convolution then runs without them.

#include <doctest/doctest.h>

#include <cmath>

#include <tinynet/kernels/conv2d.hpp>
#include <tinynet/tensor.hpp>

#if defined(__linux__) && defined(__x86_64__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstddef>

using namespace tinynet;

namespace {

/// arch_prctl(ARCH_REQ_XCOMP_PERM) fails from here on; false where filters are not allowed.
bool deny_tiles() {
  constexpr auto number = offsetof(seccomp_data, nr), first = offsetof(seccomp_data, args);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, first),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x1023, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof(program) / sizeof(program[0]), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

TEST_CASE("without permission for tiles bfloat16 runs over vectors") {
  if (!deny_tiles()) {
    MESSAGE("this kernel allows no filters: not tested");
    return;
  }
  CHECK_FALSE(cpu().amx_bf16);
  INFO(cpu().amx_refusal);
  CHECK((cpu().amx_refusal.find("refused the permission") != std::string::npos ||
         cpu().amx_refusal.find("no AMX-BF16") != std::string::npos ||
         cpu().amx_refusal.find("does not save") != std::string::npos));
  CHECK(cpu_report().find(cpu().amx_refusal) != std::string::npos);

  const kernels::Conv2dGeometry g{.n = 16, .h = 6, .w = 6, .ic = 32, .oh = 6, .ow = 6, .oc = 32,
                                  .kh = 3, .kw = 3, .padding = 1};
  const auto& kernel = kernels::conv2d_forward<bfloat16>(g);
  CHECK(kernel.path < kernels::Path::amx);
  const auto ones = Tensor<bfloat16>::full({16, 6, 6, 32}, bfloat16(1.f));
  const auto weights = Tensor<float>::full({32, 3, 3, 32}, 0.5f);
  Buffer packed(static_cast<std::size_t>(kernel.packed_bytes(g)));
  kernel.pack(packed.data(), weights.span(), g);
  Tensor<bfloat16> y({16, 6, 6, 32});
  kernel.run(y.span(), ones.span(), packed.data(), {}, g);
  CHECK(float(y.span()[(6 + 1) * 32]) == 144.f);  // 9 taps of 32 channels
  CHECK(float(y.span()[0]) == 64.f);              // a corner: 4 taps
}
#endif
