// gm_last_error, text results, and the library's own functions: version, cancel flags.
#include "abi/abi.h"

#include <cstdlib>
#include <cstring>

#include "abi/cancels.h"

namespace gradmesh::abi {
namespace {
thread_local std::string last_error;
}

int32_t report(const Status& status) {
  last_error = status.message();
  return status.code();
}

Status copy_text(const std::string& text, gm_text_out* result) {
  result->data = static_cast<char*>(std::malloc(text.size() + 1));
  if (result->data == nullptr) throw std::bad_alloc();
  std::memcpy(result->data, text.c_str(), text.size() + 1);
  result->length = text.size();
  return Status::ok();
}

Status check_given(std::initializer_list<Given> all) {
  for (const Given& given : all)
    if (given.data == nullptr && given.length > 0)
      return {GM_INVALID_ARGUMENT, std::string(given.field) + " has the address NULL and length " +
                                       std::to_string(given.length) + "; allowed: memory that is there"};
  return Status::ok();
}

Status check_buffers(const char* field, gm_buffers buffers) {
  GM_TRY(check_given({{field, buffers}}));
  for (size_t i = 0; i < buffers.length; i++)
    GM_TRY(check_given({{(std::string(field) + "[" + std::to_string(i) + "]").c_str(), buffers.items[i]}}));
  return Status::ok();
}

HandleTable<Cancel>& cancels() {
  static HandleTable<Cancel> table;
  return table;
}

}  // namespace gradmesh::abi

using namespace gradmesh;

extern "C" {

const char* gm_last_error(void) { return gradmesh::abi::last_error.c_str(); }

void gm_text_free(gm_text_out text) { std::free(text.data); }

int32_t gm_version(gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    return abi::copy_text("0.1.0", result);
  });
}

int32_t gm_cancel_create(uint32_t* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    *result = abi::cancels().add(std::make_shared<Cancel>());
    return Status::ok();
  });
}

int32_t gm_cancel_raise(uint32_t cancel) {
  return abi::guard([&] {
    if (const auto flag = abi::cancels().find(cancel)) flag->raise();
    return Status::ok();
  });
}

int32_t gm_cancel_free(uint32_t cancel) {
  return abi::guard([&] {
    abi::cancels().remove(cancel);
    return Status::ok();
  });
}

}  // extern "C"
