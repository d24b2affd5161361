# gm_isa_sources(target file...): compiles each file once per instruction set, with GM_ISA naming the namespace.
# Such a file must emit no weak symbols (no std templates, no plain inline functions): the linker would keep one
# copy of them, perhaps the one with instructions that this machine lacks. test/native/isa_symbols checks it.
set(GM_ISA_FLAGS_scalar "")
set(GM_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(GM_ISA_FLAGS_avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c -mprefer-vector-width=512)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(GM_ISAS scalar avx2 avx512)
  add_compile_definitions(GM_X86=1)
else()
  set(GM_ISAS scalar)
endif()
set_property(GLOBAL PROPERTY GM_ISA_OBJECTS "")

function(gm_isa_sources target)
  foreach(isa ${GM_ISAS})
    add_library(${target}_${isa} OBJECT ${ARGN})
    target_include_directories(${target}_${isa} PRIVATE ${CMAKE_SOURCE_DIR}/native ${CMAKE_SOURCE_DIR}/native/include)
    target_compile_definitions(${target}_${isa} PRIVATE GM_ISA=${isa} GM_ISA_${isa}=1)
    target_compile_options(${target}_${isa} PRIVATE ${GM_ISA_FLAGS_${isa}})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${isa}>)
    set_property(GLOBAL APPEND PROPERTY GM_ISA_OBJECTS $<TARGET_OBJECTS:${target}_${isa}>)
  endforeach()
endfunction()
