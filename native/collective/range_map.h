// A map from the elements of a memory to values, kept as ranges: what was last assigned to each element.
#pragma once
#include <iterator>
#include <map>
#include <utility>

#include "collective/partition.h"

namespace gradmesh {

template <class Value>
class RangeMap {
 public:
  struct Entry {
    uint64_t end;
    Value value;
  };

  void assign(const Range& range, Value value) {
    if (range.elements == 0) return;
    const uint64_t end = range.begin + range.elements;
    const auto first = split(range.begin), last = split(end);
    entries_.emplace_hint(entries_.erase(first, last), range.begin, Entry{end, std::move(value)});
  }

  // Calls visit(Value&) for each part of the range; parts that hold nothing get an empty value first.
  template <class Visit>
  void each(const Range& range, Visit&& visit) {
    const uint64_t end = range.begin + range.elements;
    split(range.begin);
    split(end);
    for (uint64_t at = range.begin; at < end;) {
      auto entry = entries_.lower_bound(at);
      if (entry == entries_.end() || entry->first > at) {
        const uint64_t until = entry == entries_.end() ? end : std::min(end, entry->first);
        entry = entries_.emplace_hint(entry, at, Entry{until, Value{}});
      }
      visit(entry->second.value);
      at = entry->second.end;
    }
  }

  // By first element.
  const std::map<uint64_t, Entry>& entries() const { return entries_; }

 private:
  // Makes `at` an edge; the first entry from there on.
  typename std::map<uint64_t, Entry>::iterator split(uint64_t at) {
    auto entry = entries_.lower_bound(at);
    if (entry == entries_.begin()) return entry;
    const auto before = std::prev(entry);
    if (before->second.end <= at) return entry;
    entry = entries_.emplace_hint(entry, at, Entry{before->second.end, before->second.value});
    before->second.end = at;
    return entry;
  }

  std::map<uint64_t, Entry> entries_;
};

}  // namespace gradmesh
