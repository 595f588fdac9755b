// Which kernels this machine supports, and which of them pass the self-test.
#pragma once

#include <vector>

#include "sha256.h"
#include "sha256_kernels.h"

namespace coldsnap {

struct Kernel {
  const char* name;
  bool (*supported)();
  // From widest to one lane; the last has at_least 0.
  const Width* widths;
};

// The kernels that are supported and pass the self-test, in the given order.
std::vector<const Kernel*> Select(const std::vector<const Kernel*>& kernels);

// Selected once, at first use, from all kernels of this architecture; never empty.
const std::vector<const Kernel*>& Usable();

// Compresses `blocks` blocks of `count` lanes by the kernel's widths.
void CompressLanes(const Kernel& kernel, Lane* lanes, size_t count, size_t blocks);

std::vector<Digest> Sha256With(const Kernel& kernel, const std::vector<Message>& messages);

}  // namespace coldsnap
