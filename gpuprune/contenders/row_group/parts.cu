// Adds the products that parts of the matrix gave, in order.
extern "C" __global__ void add_parts(const long long size, const int count,
                                     const float* __restrict__ parts,  // (count, size)
                                     float* __restrict__ out)          // (size)
{
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) {
        float sum = 0.0f;
        for (int part = 0; part < count; ++part) {
            sum += parts[part * size + i];
        }
        out[i] = sum;
    }
}
