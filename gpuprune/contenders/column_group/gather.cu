// Column groups in float32: the sums of a strip of rows stay in registers.
//
// Layout. Each group is cut into steps of DEPTH weights (1, 2, 4, 8, 16 or 32; zeros fill up the
// last), and the rows of a step are a *strip*, the same in every column: strip s has the rows from
// s / steps * group + s % steps * DEPTH on. An *entry* is what a strip keeps of a column: DEPTH
// weights and the column. Entries lie strip by strip, in a strip by column; zeros of the column 0
// fill up a strip to a multiple of CHUNK entries:
//
//     entries from starts[strip] up to starts[strip + 1]
//     columns[entry], weights[entry * DEPTH + t]
//
// Work. A thread block of (32, warps) threads multiplies the strip order[blockIdx.x] (the longest
// come first) with the slab blockIdx.y of the batch: lane l has its columns l and, where SLOTS is
// 2, l + 32. Warp w takes every warps-th chunk of CHUNK entries, loads the activations of each
// entry's column once, and adds their products with the weights to DEPTH x SLOTS sums. The warps'
// sums are then added through shared memory, half of the warps to the other half, in an order that
// is always the same; so `warps` is a power of two.

#if INDEX_BITS == 16
using Index = unsigned short;
#else
using Index = int;
#endif

constexpr int LANES = 32;
constexpr int HELD = DEPTH < 32 ? CHUNK : CHUNK / 2;  // entries whose activations are in registers
constexpr int VECTOR = DEPTH < 4 ? DEPTH : 4;         // weights that are loaded at once

struct alignas(4 * VECTOR) Weights {
    float at[VECTOR];
};
struct alignas(16) Columns {
    Index at[CHUNK];
};

extern "C" __global__ void __launch_bounds__(512)
multiply_strips(const int rows, const int batch, const int group, const int steps,
                const int* __restrict__ order,          // (strips)
                const int* __restrict__ starts,         // (strips + 1)
                const Columns* __restrict__ columns,    // (entries / CHUNK)
                const Weights* __restrict__ weights,    // (entries, DEPTH / VECTOR)
                const float* __restrict__ activations,  // (cols, batch), `pitch` apart
                const long long pitch,
                float* __restrict__ out)                // (rows, batch)
{
    extern __shared__ float shared[];  // (warps / 2, DEPTH, SLOTS, LANES)
    const int lane = threadIdx.x, warp = threadIdx.y, warps = blockDim.y;
    const int strip = order[blockIdx.x];
    const int first = blockIdx.y * (LANES * SLOTS) + lane;

    float sums[DEPTH][SLOTS] = {};
    const int end = starts[strip + 1] / CHUNK;
    for (int chunk = starts[strip] / CHUNK + warp; chunk < end; chunk += warps) {
        const Columns those = columns[chunk];
        const Weights* next = weights + static_cast<long long>(chunk) * (CHUNK * DEPTH / VECTOR);
#pragma unroll
        for (int from = 0; from < CHUNK; from += HELD) {
            float operands[HELD][SLOTS];
#pragma unroll
            for (int u = 0; u < HELD; ++u) {
                const float* row = activations + those.at[from + u] * pitch + first;
#pragma unroll
                for (int s = 0; s < SLOTS; ++s) {
                    operands[u][s] = first + s * LANES < batch ? row[s * LANES] : 0.0f;
                }
            }
#pragma unroll
            for (int u = 0; u < HELD; ++u) {
#pragma unroll
                for (int t = 0; t < DEPTH; t += VECTOR) {
                    const Weights some = next[((from + u) * DEPTH + t) / VECTOR];
#pragma unroll
                    for (int i = 0; i < VECTOR; ++i) {
#pragma unroll
                        for (int s = 0; s < SLOTS; ++s) {
                            sums[t + i][s] = fmaf(some.at[i], operands[u][s], sums[t + i][s]);
                        }
                    }
                }
            }
        }
    }

    for (int half = warps / 2; half > 0; half /= 2) {
        if (warp >= half && warp < 2 * half) {
            float* mine = shared + (warp - half) * (DEPTH * SLOTS * LANES) + lane;
#pragma unroll
            for (int t = 0; t < DEPTH; ++t) {
#pragma unroll
                for (int s = 0; s < SLOTS; ++s) {
                    mine[(t * SLOTS + s) * LANES] = sums[t][s];
                }
            }
        }
        __syncthreads();
        if (warp < half) {
            const float* theirs = shared + warp * (DEPTH * SLOTS * LANES) + lane;
#pragma unroll
            for (int t = 0; t < DEPTH; ++t) {
#pragma unroll
                for (int s = 0; s < SLOTS; ++s) {
                    sums[t][s] += theirs[(t * SLOTS + s) * LANES];
                }
            }
        }
        __syncthreads();
    }

    if (warp == 0) {
        const int top = strip / steps * group, row = top + strip % steps * DEPTH;
        const int bottom = min(min(row + DEPTH, top + group), rows);
#pragma unroll
        for (int t = 0; t < DEPTH; ++t) {
#pragma unroll
            for (int s = 0; s < SLOTS; ++s) {
                if (row + t < bottom && first + s * LANES < batch) {
                    out[static_cast<long long>(row + t) * batch + first + s * LANES] = sums[t][s];
                }
            }
        }
    }
}
