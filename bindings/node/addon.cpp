// The Node addon: bind(GradmeshError) gives an object with one function for each row of abi.def.
#include "marshal.h"

namespace marshal {

const char* code_name(int32_t code) {
  switch (code) {
#define GM_FUNCTION(mode, name, function, arguments)
#define GM_ERROR(number, name) \
  case number:                 \
    return name;
#include "table.gen.h"
#undef GM_FUNCTION
#undef GM_ERROR
    default:
      return "ERR_INTERNAL";
  }
}

namespace {

Napi::Value bind(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsFunction()) {
    Napi::TypeError::New(env, "bind: the argument must be the error class").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  env.GetInstanceData<Instance>()->error_class = Napi::Persistent(info[0].As<Napi::Function>());
  const Napi::Object table = Napi::Object::New(env);
#define GM_FUNCTION(mode, name, function, arguments) \
  table.Set(name, Napi::Function::New(env, mode<&function, arguments>, name, const_cast<char*>(name)));
#define GM_ERROR(number, name)
#include "table.gen.h"
#undef GM_FUNCTION
#undef GM_ERROR
  return table;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto* instance = new Instance();
  env.SetInstanceData(instance);
  // Runs before the environment frees any memory, on its thread, also when a worker is terminated: once a close
  // returns, the endpoint's thread is gone.
  env.AddCleanupHook([instance] {
    for (const uint32_t endpoint : instance->endpoints) gm_endpoint_close(endpoint);
  });
  exports.Set("bind", Napi::Function::New(env, bind, "bind"));
  return exports;
}

}  // namespace
}  // namespace marshal

namespace {
Napi::Object InitAddon(Napi::Env env, Napi::Object exports) { return marshal::initialize(env, exports); }
}  // namespace
NODE_API_MODULE(gradmesh, InitAddon)
