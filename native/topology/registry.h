// Includes graphs.def with the macros that the includer has defined; the others expand to nothing. No include
// guard. A drawn row is a row like any other where only GM_GRAPH is defined.
#ifndef GM_GRAPH
#define GM_GRAPH(...)
#endif
#ifndef GM_GRAPH_DRAWN
#define GM_GRAPH_DRAWN(...) GM_GRAPH(__VA_ARGS__)
#endif
#ifndef GM_WHOLE
#define GM_WHOLE(...)
#endif
#ifndef GM_SHARE
#define GM_SHARE(...)
#endif
#include "topology/graphs.def"
#undef GM_GRAPH
#undef GM_GRAPH_DRAWN
#undef GM_WHOLE
#undef GM_SHARE
