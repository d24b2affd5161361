// refused: flushes denormals (.ftz)
__global__ void kernel(float* a) { asm("add.rn.ftz.f32 %0, %0, %0;" : "+f"(a[threadIdx.x])); }
