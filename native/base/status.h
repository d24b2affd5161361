// The result of everything that can fail: a stable code and a sentence for a person.
#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "gradmesh_abi.gen.h"

namespace gradmesh {

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(gm_code code, std::string message) : code_(code), message_(std::move(message)) {}
  static Status ok() { return {}; }
  explicit operator bool() const { return code_ == GM_OK; }
  gm_code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  gm_code code_ = GM_OK;
  std::string message_;
};

// Returns from the enclosing function when a step failed.
#define GM_TRY(expression)                                             \
  do {                                                                 \
    if (::gradmesh::Status status_ = (expression); !status_) return status_; \
  } while (false)

}  // namespace gradmesh
