// What the clock and the calibration need of the device; compiled by NVRTC, without headers.

// Nanoseconds of one clock for the whole device. It ticks coarsely: up to a microsecond a step.
__device__ unsigned long long nanoseconds() {
    unsigned long long now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
}

__device__ unsigned int multiprocessor() {
    unsigned int id;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(id));
    return id;
}

extern "C" __global__ void empty() {}

// Holds up the stream. Counts cycles, too: a timer that stands still must not hang the device, and
// no clock reaches 10 GHz.
extern "C" __global__ void spin(const unsigned long long duration) {
    const unsigned long long start = nanoseconds();
    const long long first_cycle = clock64();
    while (nanoseconds() - start < duration &&
           clock64() - first_cycle < 10 * static_cast<long long>(duration)) {
    }
}

// Writes, for the multiprocessor that each block lands on: its number, nanoseconds, cycles.
extern "C" __global__ void stamp(unsigned long long* stamps /* (blocks, 3) */) {
    unsigned long long* mine = stamps + 3ull * blockIdx.x;
    mine[0] = multiprocessor();
    mine[1] = nanoseconds();
    mine[2] = static_cast<unsigned long long>(clock64());
}

// Each block reads a slice of the values, (gridDim.x, vectors, blockDim.x), and with each pass that
// of its neighbour. ld.cg passes the L1 cache by: every read is one of the L2 cache.
extern "C" __global__ void read_repeatedly(const uint4* __restrict__ values, const int vectors,
                                           const int passes, unsigned int* __restrict__ sink) {
    unsigned int sum = 0;
    for (int pass = 0; pass < passes; ++pass) {
        const int slice = (blockIdx.x + pass) % gridDim.x;
        const uint4* mine = values + static_cast<size_t>(slice) * vectors * blockDim.x;
#pragma unroll 4
        for (int i = 0; i < vectors; ++i) {
            const uint4 value = __ldcg(mine + i * blockDim.x + threadIdx.x);
            sum += value.x ^ value.y ^ value.z ^ value.w;
        }
    }
    if (sum == 1) {  // keeps the reads, and hardly ever comes true
        *sink = sum;
    }
}

// Each thread reads vectors of its block's shared memory, a warp 512 bytes in a row: no two lanes
// want the same bank at once. Volatile, for otherwise one pass would do for all.
extern "C" __global__ void read_shared_repeatedly(const int passes,
                                                  unsigned int* __restrict__ sink) {
    constexpr unsigned int VECTORS = 1024;  // 16 KiB, so that every GPU has room for its threads
    __shared__ uint4 values[VECTORS];
    for (unsigned int i = threadIdx.x; i < VECTORS; i += blockDim.x) {
        values[i] = make_uint4(i, i + 1, i + 2, i + 3);
    }
    __syncthreads();
    const unsigned int first = static_cast<unsigned int>(__cvta_generic_to_shared(values));
    unsigned int sum = 0;
    unsigned int at = threadIdx.x;
#pragma unroll 8
    for (int pass = 0; pass < passes; ++pass) {
        uint4 value;
        asm volatile("ld.volatile.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                     : "r"(first + 16 * at));
        sum += value.x ^ value.y ^ value.z ^ value.w;
        at = (at + blockDim.x) % VECTORS;
    }
    if (sum == 1) {  // keeps the reads, and hardly ever comes true
        *sink = sum;
    }
}
