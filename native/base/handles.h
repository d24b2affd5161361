// Integer handles for objects that live behind the C ABI. A handle is never reused, so a stale one is an error,
// never another object.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace gradmesh {

template <class Object>
class HandleTable {
 public:
  uint32_t add(std::shared_ptr<Object> object) {
    const std::lock_guard lock(mutex_);
    const uint32_t handle = ++last_;
    objects_.emplace(handle, std::move(object));
    return handle;
  }
  // Null when the handle is unknown or closed.
  std::shared_ptr<Object> find(uint32_t handle) const {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }
  std::shared_ptr<Object> remove(uint32_t handle) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return nullptr;
    auto object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

 private:
  mutable std::mutex mutex_;
  uint32_t last_ = 0;
  std::unordered_map<uint32_t, std::shared_ptr<Object>> objects_;
};

}  // namespace gradmesh
