// The files of test/vectors: read line by line (one case a line), and written again when
// GRADMESH_UPDATE_VECTORS is set.
#pragma once
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace vectors {

// This header lies in test/native, the vectors in test/vectors.
inline std::string path(const std::string& name) {
  const std::string here = __FILE__;
  return here.substr(0, here.rfind('/')) + "/../vectors/" + name;
}

// The lines that hold a case: those with this key. None, if somebody reformatted the file: check the count.
inline std::vector<std::string> lines(const std::string& name, const std::string& key) {
  std::ifstream file(path(name));
  std::vector<std::string> found;
  for (std::string line; std::getline(file, line);)
    if (line.find("\"" + key + "\"") != std::string::npos) found.push_back(line);
  return found;
}

inline bool updating() { return std::getenv("GRADMESH_UPDATE_VECTORS") != nullptr; }

// Writes {"version": 1, "cases": [...]} with one case a line.
inline void write(const std::string& name, const std::vector<std::string>& cases) {
  std::ofstream file(path(name));
  file << "{\n  \"version\": 1,\n  \"cases\": [\n";
  for (size_t i = 0; i < cases.size(); i++)
    file << "    " << cases[i] << (i + 1 < cases.size() ? ",\n" : "\n");
  file << "  ]\n}\n";
}

}  // namespace vectors
