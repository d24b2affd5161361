/* The types of the C ABI. Valid C99. A tensor is a pointer and a length; nothing here owns memory but gm_text_out. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GM_API __attribute__((visibility("default")))

typedef struct gm_text { const char* data; size_t length; } gm_text;       /* UTF-8, not terminated */
typedef struct gm_text_out { char* data; size_t length; } gm_text_out;     /* free with gm_text_free */
typedef struct gm_bytes { uint8_t* data; size_t length; } gm_bytes;        /* length in bytes */
typedef struct gm_f32s { float* data; size_t length; } gm_f32s;            /* length in elements */
typedef struct gm_i32s { int32_t* data; size_t length; } gm_i32s;
typedef struct gm_f64s { double* data; size_t length; } gm_f64s;
typedef struct gm_buffers { gm_bytes* items; size_t length; } gm_buffers;  /* several tensors, as bytes */

/* Ends a `post` function, once, from any thread; one that returns an error itself never calls it.
 * code is a gm_code; message says what went wrong, else is empty. */
typedef void (*gm_done)(void* context, int32_t code, const char* message);
