// Column groups in float16 or bfloat16: a strip of rows times a slab of the batch on tensor cores.
//
// Layout. Strips, entries, starts and order are as in gather.cu, with DEPTH a multiple of 8 and
// CHUNK 16, as many as a tile has. The weights of a chunk lie as the tensor cores want their second operand, (16 entries,
// 8 rows), one such tile after the other: four weights a lane, lane l has row l / 4 of the tile
// and, of the chunk, the entries l % 4 * 2 + {0, 1, 8, 9}:
//
//     weights[((chunk * DEPTH / 8 + tile) * 32 + lane) * 4 + i]
//
// Work. A thread block of (32, warps) threads multiplies the strip order[blockIdx.x] with the slab
// blockIdx.y of the batch, 16 * TILES columns. Products are transposed: (16 of the batch, 8 rows)
// += (16 of the batch, 16 entries) x (16 entries, 8 rows), summed in float32. Of the first operand
// a lane wants pairs of entries, and memory has pairs of the batch. So lane l loads two columns of
// the batch, 2 * (l / 4) and the next, of each of its four entries, and swaps halves: it takes the
// first of the two for row l / 4 of the operand, the second for row l / 4 + 8. Which column of the
// batch a row is does not matter, as long as the output is written accordingly.
//
// Warp w takes every warps-th chunk; their sums are added as in gather.cu.

#if INDEX_BITS == 16
using Index = unsigned short;
#else
using Index = int;
#endif

constexpr int LANES = 32;
constexpr int PARTS = DEPTH / 8;  // of a strip, eight rows each
constexpr int SUMS = TILES * PARTS * 4;

struct alignas(8) Weights {
    unsigned at[2];  // each two weights
};
struct alignas(2 * sizeof(Index)) Pair {
    Index at[2];
};

#ifdef __CUDA_ARCH__  // the tests that run this file on a CPU bring their own
#if BFLOAT16
#define TYPE "bf16"
#else
#define TYPE "f16"
#endif

__device__ __forceinline__ void multiply_tile(float (&sums)[4], const unsigned (&a)[4],
                                              const unsigned (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32." TYPE "." TYPE ".f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ unsigned short rounded(const float value) {
    unsigned short bits;
    asm("cvt.rn." TYPE ".f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

// Two neighbouring columns of the batch, zeros beyond its end. Where pairs are not aligned, or the
// last has but one, they are loaded one after the other.
template <bool ARE_PAIRS>
__device__ __forceinline__ unsigned load_pair(const unsigned short* at, const int left) {
    if (ARE_PAIRS) {
        return left > 0 ? *reinterpret_cast<const unsigned*>(at) : 0;
    }
    const unsigned low = left > 0 ? at[0] : 0, high = left > 1 ? at[1] : 0;
    return low | high << 16;
}

// Adds the products of every `warps`-th chunk from `chunk` up to `end`, for `left` columns of the
// batch from the lane's first on.
template <bool ARE_PAIRS>
__device__ __forceinline__ void multiply_chunks(float (&sums)[TILES][PARTS][4], int chunk,
                                                const int end, const int warps, const int lane,
                                                const Pair* columns, const Weights* weights,
                                                const char* slab, const long long row_bytes,
                                                const int left) {
    for (; chunk < end; chunk += warps) {
        const Pair* pairs = columns + static_cast<long long>(chunk) * (CHUNK / 2) + lane % 4;
        const Pair low = pairs[0], high = pairs[4];
        const char* sources[4] = {slab + low.at[0] * row_bytes, slab + low.at[1] * row_bytes,
                                  slab + high.at[0] * row_bytes, slab + high.at[1] * row_bytes};
        unsigned operands[TILES][4];
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            unsigned loaded[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const unsigned short* row = reinterpret_cast<const unsigned short*>(sources[i]);
                loaded[i] = load_pair<ARE_PAIRS>(row + tile * 16, left - tile * 16);
            }
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const unsigned even = loaded[2 * half], odd = loaded[2 * half + 1];
                operands[tile][2 * half] = (even & 0xffffu) | odd << 16;
                operands[tile][2 * half + 1] = even >> 16 | (odd & 0xffff0000u);
            }
        }
        const Weights* next = weights + static_cast<long long>(chunk) * (PARTS * LANES) + lane;
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            const Weights four = next[part * LANES];
#pragma unroll
            for (int tile = 0; tile < TILES; ++tile) {
                multiply_tile(sums[tile][part], operands[tile], four.at);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(512, DEPTH == 8 ? 2 : 1)
multiply_fragments(const int rows, const int batch, const int group, const int steps,
                   const int* __restrict__ order,                   // (strips)
                   const int* __restrict__ starts,                  // (strips + 1)
                   const Pair* __restrict__ columns,                // (entries / 2)
                   const Weights* __restrict__ weights,             // (chunks, PARTS, LANES)
                   const unsigned short* __restrict__ activations,  // (cols, batch), `row_bytes` apart
                   const long long row_bytes,
                   unsigned short* __restrict__ out)                // (rows, batch)
{
    extern __shared__ float shared[];  // (warps / 2, SUMS, LANES)
    const int lane = threadIdx.x, warp = threadIdx.y, warps = blockDim.y;
    const int strip = order[blockIdx.x];
    const int first = blockIdx.y * (16 * TILES) + lane / 4 * 2;  // of the batch, in its first tile
    const bool are_pairs = reinterpret_cast<size_t>(activations) % 4 == 0 &&
                           row_bytes % 4 == 0 && batch % 2 == 0;
    const char* slab = reinterpret_cast<const char*>(activations + first);

    float sums[TILES][PARTS][4] = {};
    const int begin = starts[strip] / CHUNK + warp, end = starts[strip + 1] / CHUNK;
    if (are_pairs) {
        multiply_chunks<true>(sums, begin, end, warps, lane, columns, weights, slab, row_bytes,
                              batch - first);
    } else {
        multiply_chunks<false>(sums, begin, end, warps, lane, columns, weights, slab, row_bytes,
                               batch - first);
    }

    for (int half = warps / 2; half > 0; half /= 2) {
        if (warp >= half && warp < 2 * half) {
            float* mine = shared + (warp - half) * (SUMS * LANES) + lane;
#pragma unroll
            for (int i = 0; i < SUMS; ++i) {
                mine[i * LANES] = sums[i / (4 * PARTS)][i / 4 % PARTS][i % 4];
            }
        }
        __syncthreads();
        if (warp < half) {
            const float* theirs = shared + warp * (SUMS * LANES) + lane;
#pragma unroll
            for (int i = 0; i < SUMS; ++i) {
                sums[i / (4 * PARTS)][i / 4 % PARTS][i % 4] += theirs[i * LANES];
            }
        }
        __syncthreads();
    }

    if (warp == 0) {
        const int top = strip / steps * group, row = top + strip % steps * DEPTH;
        const int bottom = min(min(row + DEPTH, top + group), rows);
#pragma unroll
        for (int i = 0; i < SUMS; ++i) {
            // Sums 0 and 1 are two rows of the strip, 2 and 3 the same of the batch's next column.
            const int to_row = row + i / 4 % PARTS * 8 + lane % 4 * 2 + i % 2;
            const int to_column = first + i / (4 * PARTS) * 16 + i % 4 / 2;
            if (to_row < bottom && to_column < batch) {
                out[static_cast<long long>(to_row) * batch + to_column] =
                    rounded(sums[i / (4 * PARTS)][i / 4 % PARTS][i % 4]);
            }
        }
    }
}
