// One rank of MPI_Allreduce, fp32 sum, started by mpirun: what ours are measured beside.
#include <mpi.h>

#include "mpi_namespace.h"

int main(int count, char** arguments) {
  bench::Options options = bench::parse(count, arguments);
  const char* number = std::getenv("OMPI_COMM_WORLD_RANK");
  if (number != nullptr && !options.namespaces.empty())
    bench::enter_namespace(options.namespaces.at(std::strtoul(number, nullptr, 10)));
  MPI_Init(nullptr, nullptr);
  int rank = 0, ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  options.rank = static_cast<uint32_t>(rank);
  options.ranks = static_cast<uint32_t>(ranks);
  bench::Shared shared(options);
  bench::Results results(options);
  for (const bench::Trial& trial : options.trials) {
    std::vector<float> input(trial.elements()), output(trial.elements());
    bench::fill(input.data(), input.size(), options.rank);
    bench::Record record = bench::time_rounds(
        options, trial, shared, [] {},
        [&] {
          MPI_Allreduce(input.data(), output.data(), static_cast<int>(trial.elements()), MPI_FLOAT, MPI_SUM,
                        MPI_COMM_WORLD);
        },
        [] { MPI_Barrier(MPI_COMM_WORLD); });
    record.digest = bench::digest(output.data(), output.size());
    results.write(trial, record);
  }
  MPI_Finalize();
}
