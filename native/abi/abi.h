// What every abi/*.cpp uses: the guard that keeps exceptions inside, and the conversions of arguments.
#pragma once
#include <exception>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "gradmesh.h"

namespace gradmesh::abi {

// Records the message for gm_last_error() and returns the code.
int32_t report(const Status& status);

inline std::string_view view(gm_text text) { return {text.data, text.length}; }
inline std::string string(gm_text text) { return std::string(text.data, text.length); }
// malloc'ed, for gm_text_free.
Status copy_text(const std::string& text, gm_text_out* result);

inline Status closed(const char* noun, uint32_t handle) {
  return {GM_CLOSED, std::string(noun) + " " + std::to_string(handle) + " is closed or never existed"};
}

template <class Body>
int32_t guard(Body&& body) {
  try {
    return report(body());
  } catch (const std::bad_alloc&) {
    return report({GM_OUT_OF_MEMORY, "memory could not be allocated"});
  } catch (const std::exception& error) {
    return report({GM_INTERNAL, error.what()});
  }
}

}  // namespace gradmesh::abi
