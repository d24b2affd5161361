/* gradmesh: the C ABI. Every function returns a gm_code (0 is success); gm_last_error() then has the sentence, for the
 * calling thread. Buffers given to a `work` or `post` function must stay in place until it ends. Nothing is thrown. */
#pragma once
#include "gradmesh_types.h"
#include "gradmesh_abi.gen.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The message of the last failed call on this thread; valid until the next call. Never NULL. */
GM_API const char* gm_last_error(void);
/* Frees a text result. */
GM_API void gm_text_free(gm_text_out text);

#ifdef __cplusplus
}
#endif
