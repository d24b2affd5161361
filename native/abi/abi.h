// What every abi/*.cpp uses: the guard that keeps exceptions inside, and the conversions of arguments.
#pragma once
#include <exception>
#include <initializer_list>
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

// Steps key random numbers as 32 bits.
inline constexpr uint64_t kStepMax = 0xffffffff;

// Memory that a caller named by address and length.
struct Given {
  template <class Span>
  Given(const char* name, const Span& span) : field(name), data(get_data(span)), length(span.length) {}
  template <class Result>
  Given(const char* name, Result* result) : field(name), data(result), length(1) {}
  const char* field;
  const void* data;
  size_t length;

 private:
  template <class Span>
  static const void* get_data(const Span& span) {
    return span.data;
  }
  static const void* get_data(const gm_buffers& buffers) { return buffers.items; }
};
// GM_INVALID_ARGUMENT for a null address; empty memory needs none.
Status check_given(std::initializer_list<Given> all);
// The same for a list of buffers and each of them.
Status check_buffers(const char* field, gm_buffers buffers);

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
