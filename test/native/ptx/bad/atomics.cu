// refused: float atomic
__global__ void kernel(const float* a, float* sum) { atomicAdd(sum, a[threadIdx.x]); }
