// refused: contracted
__global__ void kernel(const float* a, const float* b, float* c) {
  c[threadIdx.x] = a[threadIdx.x] * b[threadIdx.x] + c[threadIdx.x];
}
