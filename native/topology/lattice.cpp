// Graphs that are drawn on paper: ring, torus, hypercube, complete.
#include "topology/families.h"
#include "topology/round_writer.h"

namespace gradmesh::graphs {

std::string ring::problem(const GraphOptions&, uint32_t) { return ""; }

Status ring::write(const GraphOptions&, uint32_t ranks, std::vector<MixingRound>* rounds) {
  Adjacency graph(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++) graph.join(rank, (rank + 1) % ranks);
  rounds->push_back(graph.metropolis());
  return Status::ok();
}

namespace {

uint32_t torus_rows(const GraphOptions& options, uint32_t ranks) {
  if (options.rows != 0) return static_cast<uint32_t>(options.rows);
  uint32_t rows = 1;
  for (uint32_t divisor = 2; divisor * divisor <= ranks; divisor++)
    if (ranks % divisor == 0) rows = divisor;
  return rows;
}

}  // namespace

std::string torus::problem(const GraphOptions& options, uint32_t ranks) {
  const uint32_t rows = torus_rows(options, ranks);
  if (rows == 1 || rows > ranks / 2)
    return std::to_string(ranks) + " ranks make no grid of 2 rows and columns or more" +
           (options.rows == 0 ? "" : " with rows=" + std::to_string(rows)) +
           "; allowed: ranks that are a product, or another graph, such as \"regular\"";
  if (ranks % rows != 0)
    return "rows is " + std::to_string(rows) + "; allowed: divisors of the ranks, " + std::to_string(ranks);
  return "";
}

Status torus::write(const GraphOptions& options, uint32_t ranks, std::vector<MixingRound>* rounds) {
  const uint32_t rows = torus_rows(options, ranks), columns = ranks / rows;
  Adjacency graph(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++) {
    const uint32_t row = rank / columns, column = rank % columns;
    graph.join(rank, row * columns + (column + 1) % columns);
    graph.join(rank, (row + 1) % rows * columns + column);
  }
  rounds->push_back(graph.metropolis());
  return Status::ok();
}

std::string hypercube::problem(const GraphOptions&, uint32_t ranks) {
  return (ranks & (ranks - 1)) == 0 ? ""
                                    : "ranks is " + std::to_string(ranks) +
                                          "; allowed: powers of two; \"base\" is exact for any number";
}

Status hypercube::write(const GraphOptions&, uint32_t ranks, std::vector<MixingRound>* rounds) {
  Adjacency graph(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++)
    for (uint32_t bit = 1; bit < ranks; bit *= 2) graph.join(rank, rank ^ bit);
  rounds->push_back(graph.metropolis());
  return Status::ok();
}

std::string complete::problem(const GraphOptions&, uint32_t) { return ""; }

Status complete::write(const GraphOptions&, uint32_t ranks, std::vector<MixingRound>* rounds) {
  RoundWriter writer(ranks);
  std::vector<uint32_t> all(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++) all[rank] = rank;
  writer.average(all);
  rounds->push_back(writer.finish());
  return Status::ok();
}

}  // namespace gradmesh::graphs
