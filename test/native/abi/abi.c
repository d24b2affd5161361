/* The C ABI from C: gradmesh.h is valid C99, calls work, and impossible arguments get an error that names
 * them. */
#include <stdio.h>
#include <string.h>

#include "gradmesh.h"

static int passed = 0, failed = 0;

static void check(int line, bool holds, const char* what) {
  if (holds) {
    ++passed;
    return;
  }
  ++failed;
  fprintf(stderr, "  abi.c:%d: %s: %s\n", line, what, gm_last_error());
}
#define CHECK(condition) check(__LINE__, (condition), #condition)
/* The call is refused, and its message holds the word. */
#define REFUSED(call, word) \
  check(__LINE__, (call) == GM_INVALID_ARGUMENT && strstr(gm_last_error(), word) != NULL, #call)

static gm_text text(const char* characters) {
  const gm_text result = {characters, strlen(characters)};
  return result;
}
static void never(void* context, int32_t code, const char* message) {
  (void)context, (void)code, (void)message;
  check(__LINE__, false, "a refused call must not call back");
}

static const gm_text kNoText = {NULL, 4};
static const gm_bytes kNoBytes = {NULL, 32};
static const gm_f32s kNoFloats = {NULL, 4};
static const gm_i32s kNoIntegers = {NULL, 2};
static const gm_f64s kNoDoubles = {NULL, 8};
static const gm_buffers kNoBuffers = {NULL, 1};

static void calls_work(void) {
  float source[3] = {1.5f, -2.0f, 0.25f}, target[3] = {0};
  uint8_t wire[12];
  const gm_f32s from = {source, 3}, to = {target, 3};
  const gm_bytes coded = {wire, sizeof wire};
  uint64_t bytes = 0;
  gm_text_out version;
  CHECK(gm_codec_bytes(0, 3, &bytes) == GM_OK && bytes == sizeof wire);
  CHECK(gm_codec_encode(0, 1, 0, 0, 0, from, coded) == GM_OK && gm_codec_decode(0, 1, 0, 0, 0, coded, to) == GM_OK);
  CHECK(memcmp(source, target, sizeof source) == 0);
  CHECK(gm_version(&version) == GM_OK && version.length == strlen(version.data));
  gm_text_free(version);
}

static void stateless_functions_refuse(void) {
  float floats[4] = {0};
  uint8_t memory[16];
  const gm_f32s some = {floats, 4};
  const gm_bytes wire = {memory, 16};
  gm_bytes hollow[1];
  gm_buffers list = {hollow, 1};
  uint32_t codec = 0;
  gm_text_out out;
  int32_t indices[2];
  hollow[0] = kNoBytes;
  REFUSED(gm_version(NULL), "result");
  REFUSED(gm_capabilities(NULL), "result");
  REFUSED(gm_device_check(kNoText), "device");
  REFUSED(gm_device_check(text("tpu")), "device is \"tpu\"");
  CHECK(gm_device_check(text("cpu")) == GM_OK);
  REFUSED(gm_backend_force(kNoText), "name");
  REFUSED(gm_backend_force(text("avx9000")), "avx9000");
  REFUSED(gm_cancel_create(NULL), "result");
  REFUSED(gm_codec_bytes(99, 1, NULL), "codec is 99");
  REFUSED(gm_codec_bytes(0, 1, NULL), "result");
  REFUSED(gm_codec_bytes(0, UINT64_MAX, NULL), "elements");
  REFUSED(gm_codec_open(text("int9"), &codec), "int9");
  REFUSED(gm_codec_describe(99, &out), "codec is 99");
  REFUSED(gm_codec_encode(0, 1, 0, 65536, 0, some, wire), "rank is 65536");
  REFUSED(gm_codec_encode(0, 1, UINT64_MAX, 0, 0, some, wire), "step");
  CHECK(gm_codec_open(text("int8_block"), &codec) == GM_OK);
  REFUSED(gm_codec_encode(codec, 1, 0, 0, 1, some, (gm_bytes){memory, 5}), "first is 1");
  REFUSED(gm_codec_encode(0, 1, 0, 0, 0, kNoFloats, wire), "source");
  REFUSED(gm_codec_encode(0, 1, 0, 0, 0, some, kNoBytes), "wire");
  REFUSED(gm_codec_decode(0, 1, 0, 0, 0, kNoBytes, some), "wire");
  REFUSED(gm_codec_mean(0, 1, 0, 0, kNoBuffers, 4, wire), "wires");
  REFUSED(gm_codec_mean(0, 1, 0, 0, list, 4, wire), "wires[0]");
  REFUSED(gm_random_uniform(1, 1, 0, kNoFloats), "target");
  REFUSED(gm_random_uniform(1, 1, UINT64_MAX, some), "first");
  REFUSED(gm_random_normal(1, 1, 0, -1.0, some), "deviation");
  REFUSED(gm_sample_indices(1, 1, 4, kNoIntegers), "target");
  REFUSED(gm_sample_indices(1, 1, (UINT64_C(1) << 31) + 1, (gm_i32s){indices, 1}), "elements");
  REFUSED(gm_sample_indices(1, 1, 1, (gm_i32s){indices, 2}), "target has 2 elements");
  REFUSED(gm_digest(kNoBuffers, &out), "buffers");
  REFUSED(gm_digest(list, &out), "buffers[0]");
  REFUSED(gm_all_finite(kNoFloats, NULL), "source");
  REFUSED(gm_golden_run(kNoText, text("fp32"), 1, 1, text("cpu"), &out), "kind");
  REFUSED(gm_golden_run(text("codec"), text("fp32"), 1, 1, text("cpu"), NULL), "result");
  REFUSED(gm_golden_run(text("codec"), text("fp32"), 1, 1, text("tpu"), &out), "device is \"tpu\"");
}

static const gm_f64s kNoNumbers = {NULL, 0};
static const gm_f32s kNoFeedback = {NULL, 0};
static const gm_i32s kNone = {NULL, 0};

// A plan of the first `arguments`, the rest as in a mean of fp32.
static int32_t plan(uint32_t collective, uint32_t rank, uint32_t codec, uint32_t dtype, uint32_t reduction,
                    uint32_t* result) {
  return gm_plan_create(collective, 2, rank, 0, 4, codec, -1, -1, 4, dtype, reduction, kNoNumbers, text(""), 0,
                        kNone, kNoNumbers, result);
}

static void plans_refuse(void) {
  uint32_t handle = 0;
  gm_text_out out;
  double triple[3] = {0, 0.5, 1};
  const gm_f64s held = {triple, 3}, half = {triple, 2};
  REFUSED(plan(0, 0, 99, 0, 0, &handle), "codec");
  REFUSED(plan(99, 0, 0, 0, 0, &handle), "collective is 99");
  REFUSED(plan(0, 2, 0, 0, 0, &handle), "rank is 2");
  REFUSED(plan(0, 0, 0, 3, 0, &handle), "dtype is 3");
  REFUSED(plan(0, 0, 0, 0, 4, &handle), "reduction is 4");
  REFUSED(plan(0, 0, 0, 0, 2, &handle), "weights");
  REFUSED(plan(0, 0, 0, 0, 0, NULL), "result");
  REFUSED(gm_plan_create(1, 2, 0, 0, 4, 0, 99, -1, 4, 0, 0, kNoNumbers, text(""), 0, kNone, kNoNumbers, &handle),
          "down is 99");
  REFUSED(gm_plan_create(1, 2, 0, 0, 4, 0, -2, -1, 4, 0, 0, kNoNumbers, text(""), 0, kNone, kNoNumbers, &handle),
          "down is -2");
  REFUSED(gm_plan_create(1, 2, 0, 0, 4, 0, -1, 2, 4, 0, 0, kNoNumbers, text(""), 0, kNone, kNoNumbers, &handle),
          "owner_decay is 2");
  REFUSED(gm_plan_create(0, 2, 0, 0, 4, 0, -1, -1, 4, 0, 0, kNoNumbers, text(""), 0, kNone, half, &handle), "held");
  REFUSED(gm_plan_create(0, 2, 0, 0, 4, 0, -1, -1, 4, 0, 0, kNoNumbers, text(""), 0, kNone, held, &handle),
          "held[0]");
  CHECK(plan(0, 0, 0, 0, 0, &handle) == GM_OK);
  out.data = NULL;
  CHECK(gm_plan_cost(handle, &out) == GM_OK && strstr(out.data, "\"latencySteps\":2") != NULL);
  gm_text_free(out);
  out.data = NULL;
  CHECK(gm_plan_schedule(handle, &out) == GM_OK && strstr(out.data, "\"kind\":\"combine\"") != NULL);
  gm_text_free(out);
  REFUSED(gm_plan_cost(handle, NULL), "result");
  CHECK(gm_plan_free(handle) == GM_OK && gm_plan_free(handle) == GM_OK);
  CHECK(gm_plan_cost(handle, &out) == GM_CLOSED);
}

// Two ranks of a mean of four floats, whose memory is `floats`: inputs, then outputs.
static void local_refuses(void) {
  uint32_t handles[2] = {0, 0};
  float floats[16] = {1, 2, 3, 4, 3, 4, 5, 6, 0};
  double listed[2], unheard[2] = {1e6, 0.5}, sent[2], delays[4] = {0, 0.1, 0.1, 0};
  double rate = 4, seconds[2], ready[1] = {0};
  gm_bytes memory[4];
  const gm_buffers inputs = {memory, 2}, outputs = {memory + 2, 2};
  const gm_buffers one = {memory, 1}, hollow = {NULL, 2}, none = {NULL, 0};
  const gm_f64s plans = {listed, 2}, unknown = {unheard, 2}, report = {sent, 2}, short_report = {sent, 1};
  const gm_f64s delay = {delays, 4}, rates = {&rate, 1}, finish = {seconds, 2}, half = {ready, 1};
  gm_text_out out;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    CHECK(plan(1, rank, 0, 0, 0, &handles[rank]) == GM_OK);
    listed[rank] = handles[rank];
  }
  for (int at = 0; at < 4; ++at) memory[at].data = (uint8_t*)(floats + 4 * at), memory[at].length = 16;
  CHECK(gm_collective_run_local(unknown, 1, 1, inputs, outputs, none, none, report, 1) == GM_CLOSED);
  REFUSED(gm_collective_run_local(plans, 1, 1, hollow, outputs, none, none, report, 1), "inputs");
  REFUSED(gm_collective_run_local(plans, 1, 1, inputs, one, none, none, report, 1), "outputs holds 1");
  REFUSED(gm_collective_run_local(plans, 1, 1, inputs, inputs, none, none, report, 1), "overlap");
  REFUSED(gm_collective_run_local(plans, 1, 1, inputs, outputs, inputs, none, report, 1), "states holds 2");
  REFUSED(gm_collective_run_local(plans, 1, 1, inputs, outputs, none, none, short_report, 1), "report has 1");
  REFUSED(gm_collective_run_local(plans, 1, 1, inputs, outputs, none, none, report, 0), "threads is 0");
  REFUSED(gm_collective_run_local(plans, 1, (uint64_t)1 << 40, inputs, outputs, none, none, report, 1), "step");
  CHECK(gm_collective_run_local(plans, 1, 1, inputs, outputs, none, none, report, 1) == GM_OK);
  CHECK(floats[8] == 2 && floats[15] == 5 && sent[0] == 16 && sent[1] == 16);
  REFUSED(gm_collective_simulate(handles[0], half, rates, rates, delay, 0, 0, finish), "ready");
  REFUSED(gm_collective_simulate(handles[0], kNoNumbers, kNoNumbers, rates, delay, 0, 0, finish), "uplink");
  REFUSED(gm_collective_simulate(handles[0], kNoNumbers, rates, rates, rates, 0, 0, finish), "delay has 1");
  REFUSED(gm_collective_simulate(handles[0], kNoNumbers, rates, rates, delay, 0, 0, half), "finish has 1");
  CHECK(gm_collective_simulate(handles[0], kNoNumbers, rates, rates, delay, 0, 0, finish) == GM_OK);
  CHECK(seconds[0] == seconds[1] && seconds[0] > 2 * (8 / 4 + 0.1));
  REFUSED(gm_codec_parts(999999, 1, &out), "codec");
  REFUSED(gm_codec_parts(0, 1, NULL), "result");
}

static void graphs_refuse(void) {
  double tensors[8] = {0, 0, 1, 0, 1, 0, 1, 0}; /* bindings 0 and 1, one float each */
  int32_t nodes[4] = {20, 0, 1, 1};             /* copy 0 to 1 */
  const gm_f64s described = {tensors, 8}, none = {NULL, 0};
  const gm_i32s listed = {nodes, 4};
  const gm_buffers hollow = {NULL, 2};
  const gm_text cpu = {"cpu", 3}, unknown = {"gpu", 3}, nameless = {NULL, 3};
  float numbers[2] = {1, 2};
  gm_bytes buffers[2] = {{(uint8_t*)&numbers[0], 4}, {(uint8_t*)&numbers[1], 4}};
  const gm_buffers bound = {buffers, 2};
  int32_t codes[2] = {1, 4};
  const gm_i32s no_transfers = {NULL, 0}, too_few = {codes, 1}, unheard_of = {codes, 2};
  uint32_t graph = 0;
  REFUSED(gm_graph_create(kNoDoubles, listed, none, 1, cpu, &graph), "tensors");
  REFUSED(gm_graph_create(described, kNoIntegers, none, 1, cpu, &graph), "nodes");
  REFUSED(gm_graph_create(described, listed, none, 0, cpu, &graph), "threads is 0");
  REFUSED(gm_graph_create(described, listed, none, 1, cpu, NULL), "result");
  REFUSED(gm_graph_create(described, listed, none, 1, nameless, &graph), "device");
  REFUSED(gm_graph_create(described, listed, none, 1, unknown, &graph), "device is \"gpu\"; allowed: cpu, cuda");
  CHECK(gm_graph_create(described, listed, none, 1, cpu, &graph) == GM_OK);
  REFUSED(gm_graph_run(graph, hollow, no_transfers, 0), "bindings");
  REFUSED(gm_graph_run(graph, bound, too_few, 0), "transfers holds 1 numbers for 2 bindings");
  REFUSED(gm_graph_run(graph, bound, unheard_of, 0), "transfers[1] is 4, allowed: 0");
  CHECK(gm_graph_run(graph, bound, no_transfers, 0) == GM_OK && numbers[1] == 1);
  REFUSED(gm_graph_profile(graph, NULL), "result");
  CHECK(gm_graph_close(graph) == GM_OK);
  CHECK(gm_graph_close(graph) == GM_CLOSED && gm_graph_profile(graph, NULL) == GM_CLOSED);
}

static int32_t run(uint32_t endpoint, uint32_t plan, gm_i32s links, uint64_t operation, gm_bytes input, gm_bytes output,
                   gm_f64s report) {
  return gm_collective_run(endpoint, plan, links, operation, 0, 1, 1000, true, input, output, kNoFeedback, kNoFeedback,
                           report, 0, never, NULL);
}

static void endpoints_refuse(void) {
  uint8_t secret[32] = {1}, other[32] = {2};
  const gm_bytes key = {secret, 32}, key2 = {other, 32}, small = {secret, 31};
  float floats[8] = {0};
  double numbers[6];
  int32_t numbers_of_links[2] = {-1, 1};
  const gm_bytes here = {(uint8_t*)floats, 16}, there = {(uint8_t*)(floats + 4), 16};
  const gm_f64s report = {numbers, 6};
  const gm_i32s links = {numbers_of_links, 2};
  uint32_t endpoint = 0, link = 0, handle = 0;
  gm_text_out out;
  REFUSED(gm_endpoint_create(kNoText, 0, 1000, false, text(""), &endpoint), "host");
  REFUSED(gm_endpoint_create(text("example.org"), 0, 1000, false, text(""), &endpoint), "example.org");
  REFUSED(gm_endpoint_create(text("127.0.0.1"), 0, 1, false, text(""), &endpoint), "silence_limit_ms is 1");
  REFUSED(gm_endpoint_create(text("127.0.0.1"), 0, 1000, false, text(""), NULL), "result");
  REFUSED(gm_endpoint_create(text("127.0.0.1"), 0, 1000, false, text("warp"), &endpoint), "congestion_control");
  CHECK(gm_endpoint_create(text("127.0.0.1"), 0, 1000, true, text(""), &endpoint) == GM_OK);
  REFUSED(gm_endpoint_expect(endpoint, small, key, key2, 1, 1000, &link), "ticket");
  REFUSED(gm_endpoint_expect(endpoint, key, kNoBytes, key2, 1, 1000, &link), "send_key");
  REFUSED(gm_endpoint_expect(endpoint, key, key, key, 1, 1000, &link), "send_key and receive_key");
  REFUSED(gm_endpoint_expect(endpoint, key, key, key2, 1, 0, &link), "limit_ms");
  REFUSED(gm_endpoint_expect(endpoint, key, key, key2, 17, 1000, &link), "streams is 17");
  REFUSED(gm_endpoint_dial(endpoint, kNoText, 1, key, key, key2, 1, 1000, 0, &link, never, NULL), "host");
  REFUSED(gm_endpoint_dial(endpoint, text("::1"), 1, key, key, key2, 1, 1000, 0, &link, NULL, NULL), "done");
  REFUSED(gm_endpoint_fault(endpoint, 1, 1, 0), "signal");
  REFUSED(gm_link_ready(endpoint, 1, 1000, 0, NULL, NULL), "done");
  CHECK(run(endpoint, 1 << 30, links, 1, here, there, report) == GM_CLOSED);
  CHECK(plan(0, 0, 0, 0, 0, &handle) == GM_OK);
  REFUSED(run(endpoint, handle, kNoIntegers, 1, here, there, report), "links");
  REFUSED(run(endpoint, handle, links, 1, kNoBytes, there, report), "input");
  REFUSED(run(endpoint, handle, links, 1, here, here, report), "overlap");
  REFUSED(run(endpoint, handle, links, 0, here, there, report), "operation is 0");
  REFUSED(gm_collective_finished(endpoint, 1, &out), "operation is 1");
  REFUSED(gm_link_probe(endpoint, 1, 0, 1, 1, 1000, kNoNumbers, 0, never, NULL), "result");
  CHECK(gm_link_use(endpoint, 99, 1) == GM_CLOSED);
  CHECK(gm_link_stats(endpoint, 99, &out) == GM_CLOSED);
  CHECK(gm_endpoint_close(endpoint) == GM_OK && gm_endpoint_close(endpoint) == GM_OK);
  CHECK(gm_endpoint_port(endpoint, &link) == GM_CLOSED);
}

int main(void) {
  calls_work();
  stateless_functions_refuse();
  graphs_refuse();
  plans_refuse();
  local_refuses();
  endpoints_refuse();
  printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
