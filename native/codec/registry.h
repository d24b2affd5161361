// Includes codecs.def with the macros that the includer has defined; the others expand to nothing. No include
// guard.
#ifndef GM_CODEC
#define GM_CODEC(...)
#endif
#ifndef GM_NUMBER
#define GM_NUMBER(...)
#endif
#ifndef GM_CHOICE
#define GM_CHOICE(...)
#endif
#ifndef GM_CASE
#define GM_CASE(...)
#endif
#include "codec/codecs.def"
#undef GM_CODEC
#undef GM_NUMBER
#undef GM_CHOICE
#undef GM_CASE
