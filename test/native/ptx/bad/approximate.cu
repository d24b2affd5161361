// refused: approximate (.approx)
__global__ void kernel(float* a) { a[threadIdx.x] = __expf(a[threadIdx.x]); }
