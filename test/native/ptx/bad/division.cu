// refused: approximate
__global__ void kernel(const float* a, float* b) {
  b[threadIdx.x] = __fdividef(a[threadIdx.x], b[threadIdx.x]);
}
