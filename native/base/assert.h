// Assertions that stay on in release builds: a broken invariant ends the process before it can corrupt a tensor.
#pragma once
#include <cstdio>
#include <cstdlib>

#define GM_ASSERT(condition)                                                            \
  do {                                                                                  \
    if (!(condition)) {                                                                 \
      std::fprintf(stderr, "%s:%d: assertion failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                     \
    }                                                                                   \
  } while (false)
