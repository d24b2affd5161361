// The vector intrinsics of the instruction set that a file of isa/ is compiled for, if it has any.
#pragma once
#if GM_ISA_avx512 || GM_ISA_avx2
// gcc 12 takes the "undefined" registers of its own intrinsics for uninitialized variables (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif
