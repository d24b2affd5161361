// One rank of gloo's all-reduces over TCP, fp32 sum: what ours are measured beside. Its four algorithms for
// CPU memory: ring and bcube of gloo::allreduce, and the older ring_chunked and halving_doubling classes.
#include <gloo/allreduce.h>
#include <gloo/allreduce_halving_doubling.h>
#include <gloo/allreduce_ring_chunked.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include <exception>
#include <functional>

#include "peer.h"

namespace {

using bench::Trial;

std::shared_ptr<gloo::Context> connect(const bench::Options& options) {
  gloo::transport::tcp::attr attributes;
  attributes.hostname = options.addresses.at(options.rank);
  auto device = gloo::transport::tcp::CreateDevice(attributes);
  gloo::rendezvous::FileStore store(options.folder);
  auto context = std::make_shared<gloo::rendezvous::Context>(static_cast<int>(options.rank),
                                                             static_cast<int>(options.ranks));
  context->setTimeout(std::chrono::seconds(120));
  context->connectFullMesh(store, device);
  return context;
}

// The older classes work in place: they reduce into `output`, which holds the input at first.
std::function<void()> make_round(const std::shared_ptr<gloo::Context>& context, const Trial& trial,
                                 float* input, float* output) {
  const auto count = static_cast<int>(trial.elements());
  const auto run = [](auto algorithm) { return [algorithm] { algorithm->run(); }; };
  const std::vector<float*> in_place{output};
  if (trial.collective == "ring_chunked")
    return run(std::make_shared<gloo::AllreduceRingChunked<float>>(context, in_place, count));
  if (trial.collective == "halving_doubling")
    return run(std::make_shared<gloo::AllreduceHalvingDoubling<float>>(context, in_place, count));
  using Algorithm = gloo::AllreduceOptions::Algorithm;
  if (trial.collective != "ring" && trial.collective != "bcube")
    bench::die("gloo has no all-reduce " + trial.collective);
  auto options = std::make_shared<gloo::AllreduceOptions>(context);
  options->setAlgorithm(trial.collective == "ring" ? Algorithm::RING : Algorithm::BCUBE);
  options->setInput(input, trial.elements());
  options->setOutput(output, trial.elements());
  options->setReduceFunction(
      static_cast<void (*)(void*, const void*, const void*, size_t)>(&gloo::sum<float>));
  return [options] { gloo::allreduce(*options); };
}

void run(const bench::Options& options) {
  bench::Shared shared(options);
  bench::Results results(options);
  const auto context = connect(options);
  for (const Trial& trial : options.trials) {
    std::vector<float> input(trial.elements()), output(trial.elements());
    bench::fill(input.data(), input.size(), options.rank);
    const auto round = make_round(context, trial, input.data(), output.data());
    bench::Record record = bench::time_rounds(
        options, trial, shared, [&] { output = input; }, round);
    record.digest = bench::digest(output.data(), output.size());
    results.write(trial, record);
  }
  shared.wait(options.ranks);  // nobody closes while another still works
}

}  // namespace

int main(int count, char** arguments) {
  try {
    run(bench::parse(count, arguments));
  } catch (const std::exception& error) {
    bench::die(error.what());
  }
}
