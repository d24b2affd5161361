// Numbers and lists as JSON text; a double takes the shortest digits that give it back.
#pragma once
#include <charconv>
#include <string>
#include <vector>

namespace gradmesh {

template <class Number>
std::string json_number(Number value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

template <class Number>
std::string json_list(const std::vector<Number>& values) {
  std::string text = "[";
  for (const Number value : values) text += (text.size() == 1 ? "" : ",") + json_number(value);
  return text + "]";
}

}  // namespace gradmesh
