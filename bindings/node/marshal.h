// Turns a C function of gradmesh.h into a JavaScript function, from its C signature alone: arguments are checked and
// pinned (never copied), the function runs at once (sync), on a worker thread (work) or by its own thread (post), and
// a code other than GM_OK becomes a GradmeshError.
#pragma once
#include <napi.h>

#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gradmesh.h"

namespace marshal {

// ---- errors ---------------------------------------------------------------------------------------------------

const char* code_name(int32_t code);

// What one environment (the main thread's, or a worker's) has of the addon.
struct Instance {
  Napi::FunctionReference error_class;  // GradmeshError, given once by bind()
  std::vector<uint32_t> endpoints;      // made here; they end with the environment, whose memory they use
};

inline Napi::Value make_error(Napi::Env env, int32_t code, const std::string& message) {
  const auto* instance = env.GetInstanceData<Instance>();
  return instance->error_class.New({Napi::String::New(env, code_name(code)), Napi::String::New(env, message)});
}

inline void throw_error(Napi::Env env, int32_t code, const std::string& message) {
  napi_throw(env, make_error(env, code, message));
}

// ---- arguments: one storage per C type ------------------------------------------------------------------------

// Keeps typed arrays alive while native code uses their memory.
using Pins = std::vector<Napi::ObjectReference>;

template <class Type>
struct Argument;

template <class Integer, int64_t kLeast, int64_t kMost>
struct IntegerArgument {
  static constexpr const char* expected = kLeast < 0     ? "an integer of 32 bits"
                                          : kMost > 1e15 ? "a whole number up to 2^53 - 1"
                                                         : "a whole number of 32 bits";
  Integer value = 0;
  bool take(Napi::Value from, Pins*) {
    if (!from.IsNumber()) return false;
    const double number = from.As<Napi::Number>().DoubleValue();
    if (!(number >= static_cast<double>(kLeast) && number <= static_cast<double>(kMost)) ||
        number != std::floor(number))
      return false;
    value = static_cast<Integer>(number);
    return true;
  }
  Integer get() { return value; }
};
template <>
struct Argument<uint32_t> : IntegerArgument<uint32_t, 0, UINT32_MAX> {};
template <>
struct Argument<int32_t> : IntegerArgument<int32_t, INT32_MIN, INT32_MAX> {};
template <>
struct Argument<uint64_t> : IntegerArgument<uint64_t, 0, (int64_t{1} << 53) - 1> {};

template <>
struct Argument<double> {
  static constexpr const char* expected = "a number";
  double value = 0;
  bool take(Napi::Value from, Pins*) {
    if (!from.IsNumber()) return false;
    value = from.As<Napi::Number>().DoubleValue();
    return true;
  }
  double get() { return value; }
};

template <>
struct Argument<bool> {
  static constexpr const char* expected = "a boolean";
  bool value = false;
  bool take(Napi::Value from, Pins*) {
    if (!from.IsBoolean()) return false;
    value = from.As<Napi::Boolean>().Value();
    return true;
  }
  bool get() { return value; }
};

template <>
struct Argument<gm_text> {
  static constexpr const char* expected = "a string";
  std::string value;
  bool take(Napi::Value from, Pins*) {
    if (!from.IsString()) return false;
    value = from.As<Napi::String>().Utf8Value();
    return true;
  }
  gm_text get() { return {value.data(), value.size()}; }
};

// The memory of a typed array, pinned when the call outlives this turn of the event loop; it may be shared memory.
// False where the buffer could shrink meanwhile, which unmaps its pages. (Nothing in N-API stops a caller from
// transferring a pinned buffer to another thread: that is the caller's to avoid.)
inline bool take_memory(Napi::Value from, Pins* pins, gm_bytes* memory) {
  const auto array = from.As<Napi::TypedArray>();
  if (pins) {
    const Napi::Value buffer = array.Get("buffer");
    if (buffer.IsObject() && buffer.As<Napi::Object>().Get("resizable").ToBoolean()) return false;
    pins->push_back(Napi::Persistent(array.As<Napi::Object>()));
  }
  // Not through array.ArrayBuffer(): older Nodes give no address for a SharedArrayBuffer there.
  void* data = nullptr;
  if (napi_get_typedarray_info(array.Env(), array, nullptr, nullptr, &data, nullptr, nullptr) != napi_ok) return false;
  *memory = {static_cast<uint8_t*>(data), array.ByteLength()};
  return true;
}

template <class Span, class Element, napi_typedarray_type kType>
struct ArrayArgument {
  Span value{nullptr, 0};
  bool take(Napi::Value from, Pins* pins) {
    if (!from.IsTypedArray() || from.As<Napi::TypedArray>().TypedArrayType() != kType) return false;
    gm_bytes memory;
    if (!take_memory(from, pins, &memory)) return false;
    value = {reinterpret_cast<Element*>(memory.data), memory.length / sizeof(Element)};
    return true;
  }
  Span get() { return value; }
};
template <>
struct Argument<gm_bytes> : ArrayArgument<gm_bytes, uint8_t, napi_uint8_array> {
  static constexpr const char* expected = "a Uint8Array whose buffer has a fixed length";
};
template <>
struct Argument<gm_f32s> : ArrayArgument<gm_f32s, float, napi_float32_array> {
  static constexpr const char* expected = "a Float32Array whose buffer has a fixed length";
};
template <>
struct Argument<gm_i32s> : ArrayArgument<gm_i32s, int32_t, napi_int32_array> {
  static constexpr const char* expected = "an Int32Array whose buffer has a fixed length";
};
template <>
struct Argument<gm_f64s> : ArrayArgument<gm_f64s, double, napi_float64_array> {
  static constexpr const char* expected = "a Float64Array whose buffer has a fixed length";
};

template <>
struct Argument<gm_buffers> {
  static constexpr const char* expected = "an array of typed arrays whose buffers have a fixed length";
  std::vector<gm_bytes> value;
  bool take(Napi::Value from, Pins* pins) {
    if (!from.IsArray()) return false;
    const auto array = from.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) {
      const Napi::Value item = array.Get(i);
      gm_bytes memory;
      if (!item.IsTypedArray() || !take_memory(item, pins, &memory)) return false;
      value.push_back(memory);
    }
    return true;
  }
  gm_buffers get() { return {value.data(), value.size()}; }
};

// ---- results --------------------------------------------------------------------------------------------------

struct None {};
inline Napi::Value to_value(Napi::Env env, const None&) { return env.Undefined(); }
inline Napi::Value to_value(Napi::Env env, bool value) { return Napi::Boolean::New(env, value); }
template <class Number>
Napi::Value to_value(Napi::Env env, const Number& value) {
  return Napi::Number::New(env, static_cast<double>(value));
}
inline Napi::Value to_value(Napi::Env env, const gm_text_out& text) {
  const Napi::Value value = Napi::String::New(env, text.data, text.length);
  gm_text_free(text);
  return value;
}

// ---- one call -------------------------------------------------------------------------------------------------

template <class Parameters, size_t kArguments, bool kResult>
struct ResultOf {
  using Type = None;
};
template <class Parameters, size_t kArguments>
struct ResultOf<Parameters, kArguments, true> {
  using Type = std::remove_pointer_t<std::tuple_element_t<kArguments, Parameters>>;
};

// The arguments, pins and result of one call of a C function; kTail is 2 for post functions (gm_done, context).
template <auto kFunction, size_t kArguments, size_t kTail>
class Call;

template <class... Parameters, int32_t (*kFunction)(Parameters...), size_t kArguments, size_t kTail>
class Call<kFunction, kArguments, kTail> {
 public:
  static constexpr bool kHasResult = sizeof...(Parameters) - kTail > kArguments;
  using Tuple = std::tuple<Parameters...>;
  using Result = typename ResultOf<Tuple, kArguments, kHasResult>::Type;

  // False, with an exception pending, when an argument has the wrong type.
  bool take(const Napi::CallbackInfo& info, const char* name, bool pin) {
    return take_all(info, name, pin, std::make_index_sequence<kArguments>());
  }
  template <class... Tail>
  int32_t invoke(Tail... tail) {
    return invoke_all(std::make_index_sequence<kArguments>(), tail...);
  }
  Napi::Value result(Napi::Env env) { return to_value(env, result_); }
  const Result& raw_result() const { return result_; }

 private:
  template <size_t... kIndex>
  static auto storage(std::index_sequence<kIndex...>)
      -> std::tuple<Argument<std::tuple_element_t<kIndex, Tuple>>...>;

  template <size_t... kIndex>
  bool take_all([[maybe_unused]] const Napi::CallbackInfo& info, [[maybe_unused]] const char* name,
                [[maybe_unused]] bool pin, std::index_sequence<kIndex...>) {
    return (take_one<kIndex>(info, name, pin) && ...);
  }
  template <size_t kIndex>
  bool take_one(const Napi::CallbackInfo& info, const char* name, bool pin) {
    auto& argument = std::get<kIndex>(arguments_);
    if (argument.take(info[kIndex], pin ? &pins_ : nullptr)) return true;
    throw_error(info.Env(), GM_INVALID_ARGUMENT,
                std::string(name) + ": argument " + std::to_string(kIndex + 1) + " must be " + argument.expected);
    return false;
  }
  template <size_t... kIndex, class... Tail>
  int32_t invoke_all(std::index_sequence<kIndex...>, Tail... tail) {
    if constexpr (kHasResult)
      return kFunction(std::get<kIndex>(arguments_).get()..., &result_, tail...);
    else
      return kFunction(std::get<kIndex>(arguments_).get()..., tail...);
  }

  decltype(storage(std::make_index_sequence<kArguments>())) arguments_;
  Pins pins_;
  Result result_{};
};

// ---- the three modes ------------------------------------------------------------------------------------------

// The threads of an endpoint use pinned memory and call back, so an environment must know its own.
template <auto kFunction>
inline constexpr bool kMakesEndpoint = false;
template <>
inline constexpr bool kMakesEndpoint<&gm_endpoint_create> = true;

template <auto kFunction, size_t kArguments>
Napi::Value sync(const Napi::CallbackInfo& info) {
  const char* name = static_cast<const char*>(info.Data());
  Call<kFunction, kArguments, 0> call;
  if (!call.take(info, name, false)) return info.Env().Undefined();
  if (const int32_t code = call.invoke(); code != GM_OK) {
    throw_error(info.Env(), code, gm_last_error());
    return info.Env().Undefined();
  }
  if constexpr (kMakesEndpoint<kFunction>)
    info.Env().template GetInstanceData<Instance>()->endpoints.push_back(call.raw_result());
  return call.result(info.Env());
}

template <auto kFunction, size_t kArguments>
class Worker : public Napi::AsyncWorker {
 public:
  explicit Worker(Napi::Env env) : Napi::AsyncWorker(env), deferred(env) {}
  void Execute() override {
    code_ = call.invoke();
    if (code_ != GM_OK) message_ = gm_last_error();
  }
  void OnOK() override {
    if (code_ == GM_OK)
      deferred.Resolve(call.result(Env()));
    else
      deferred.Reject(make_error(Env(), code_, message_));
  }

  Call<kFunction, kArguments, 0> call;
  Napi::Promise::Deferred deferred;

 private:
  int32_t code_ = GM_OK;
  std::string message_;
};

template <auto kFunction, size_t kArguments>
Napi::Value work(const Napi::CallbackInfo& info) {
  auto worker = std::make_unique<Worker<kFunction, kArguments>>(info.Env());
  if (!worker->call.take(info, static_cast<const char*>(info.Data()), true)) return info.Env().Undefined();
  const Napi::Promise promise = worker->deferred.Promise();
  worker.release()->Queue();  // deletes itself after OnOK
  return promise;
}

template <auto kFunction, size_t kArguments>
struct Posted {
  explicit Posted(Napi::Env env) : deferred(env) {}
  Call<kFunction, kArguments, 2> call;
  Napi::Promise::Deferred deferred;
  Napi::ThreadSafeFunction settle;
  int32_t code = GM_OK;
  std::string message;

  static void done(void* context, int32_t code, const char* message) {
    auto* posted = static_cast<Posted*>(context);
    posted->code = code;
    posted->message = message;
    Napi::ThreadSafeFunction settle = posted->settle;  // `posted` is gone once the callback below has run
    const napi_status queued = settle.NonBlockingCall(posted, [](Napi::Env env, Napi::Function, Posted* ended) {
      if (static_cast<napi_env>(env) != nullptr) {
        if (ended->code == GM_OK)
          ended->deferred.Resolve(ended->call.result(env));
        else
          ended->deferred.Reject(make_error(env, ended->code, ended->message));
      }
      delete ended;
    });
    // Else the environment is ending, and has let go of `settle`. The pins can't be dropped from this thread either:
    // what is left of `posted` is given up.
    if (queued == napi_ok) settle.Release();
  }
};

template <auto kFunction, size_t kArguments>
Napi::Value post(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto posted = std::make_unique<Posted<kFunction, kArguments>>(env);
  const char* name = static_cast<const char*>(info.Data());
  if (!posted->call.take(info, name, true)) return env.Undefined();
  const Napi::Promise promise = posted->deferred.Promise();
  posted->settle = Napi::ThreadSafeFunction::New(env, Napi::Function(), name, 0, 1);
  auto* context = posted.release();  // owned by done() from here on
  Napi::ThreadSafeFunction settle = context->settle;
  gm_done done = &Posted<kFunction, kArguments>::done;
  if (const int32_t code = context->call.invoke(done, static_cast<void*>(context)); code != GM_OK) {
    context->deferred.Reject(make_error(env, code, gm_last_error()));
    delete context;
    settle.Release();
  }
  return promise;
}

}  // namespace marshal
