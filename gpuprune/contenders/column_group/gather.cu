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
// entry's column once, and adds their products with the weights to DEPTH x SLOTS sums. The weights
// go through shared memory, where all lanes read them, while the next chunk is on its way. The
// warps' sums are then added through shared memory, half of the warps to the other half, in an
// order that is always the same; so `warps` is a power of two.

constexpr int LANES = 32;
constexpr int VECTOR = DEPTH < 4 ? DEPTH : 4;  // weights that all lanes read at once
constexpr int PIECE = CHUNK * DEPTH < LANES ? 1 : CHUNK * DEPTH / LANES;  // that a lane loads
constexpr int PIECES = CHUNK * DEPTH / PIECE;                             // of a chunk
constexpr int BLOCKS = DEPTH * INDEX_BITS < 256 ? 2 : 1;  // whose registers are there without spills

struct alignas(4 * VECTOR) Weights {
    float at[VECTOR];
};
struct alignas(4 * PIECE) Piece {
    float at[PIECE];
};
struct alignas(CHUNK * INDEX_BITS / 8 < 16 ? CHUNK * INDEX_BITS / 8 : 16) Columns {
    unsigned words[CHUNK * INDEX_BITS / 32];  // as they come: to take them apart is to wait for them

    __device__ unsigned operator[](const int entry) const {
        const int bit = entry * INDEX_BITS;
        return words[bit / 32] >> bit % 32 & (~0u >> (32 - INDEX_BITS));
    }
};

extern "C" __global__ void __launch_bounds__(512, BLOCKS)
multiply_strips(const int rows, const int batch, const int group, const int steps,
                const int* __restrict__ order,          // (strips)
                const int* __restrict__ starts,         // (strips + 1)
                const Columns* __restrict__ columns,    // (entries / CHUNK)
                const Piece* __restrict__ weights,      // (entries / CHUNK, PIECES)
                const float* __restrict__ activations,  // (cols, batch), `row_bytes` apart
                const long long row_bytes,
                float* __restrict__ out)                // (rows, batch)
{
    extern __shared__ float shared[];  // ((warps + 1) / 2, DEPTH, SLOTS, LANES), then chunks
    const int lane = threadIdx.x, warp = threadIdx.y, warps = blockDim.y;
    float* chunks = shared + (warps + 1) / 2 * (DEPTH * SLOTS * LANES);  // (warps, CHUNK, DEPTH)
    Piece* staged = reinterpret_cast<Piece*>(chunks) + warp * PIECES;
    const Weights* staged_weights = reinterpret_cast<const Weights*>(staged);
    const int strip = order[blockIdx.x];
    const int first = blockIdx.y * (LANES * SLOTS) + lane;

    const char* slab = reinterpret_cast<const char*>(activations + first);

    int chunk = starts[strip] / CHUNK + warp;
    const int end = starts[strip + 1] / CHUNK;
    Columns those = {};
    Piece next_weights = {};
    const auto fetch = [&](const int from) {  // one chunk, to registers
        if (from < end) {
            those = columns[from];
            if (PIECES == LANES || lane < PIECES) {
                next_weights = weights[static_cast<long long>(from) * PIECES + lane];
            }
        }
    };
    fetch(chunk);
    float sums[DEPTH][SLOTS] = {};
    float operands[CHUNK][SLOTS] = {};  // zeros remain beyond the batch
    for (; chunk < end; chunk += warps) {
#pragma unroll
        for (int u = 0; u < CHUNK; ++u) {
            const float* row = reinterpret_cast<const float*>(slab + those[u] * row_bytes);
#pragma unroll
            for (int s = 0; s < SLOTS; ++s) {
                if (first + s * LANES < batch) {
                    operands[u][s] = row[s * LANES];
                }
            }
        }
        __syncwarp();  // everyone has done with the chunk that goes
        if (PIECES == LANES || lane < PIECES) {
            staged[lane] = next_weights;
        }
        __syncwarp();
        fetch(chunk + warps);
#pragma unroll
        for (int u = 0; u < CHUNK; ++u) {
#pragma unroll
            for (int t = 0; t < DEPTH; t += VECTOR) {
                const Weights some = staged_weights[(u * DEPTH + t) / VECTOR];
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

    const auto put = [&](float* to) {
#pragma unroll
        for (int t = 0; t < DEPTH; ++t) {
#pragma unroll
            for (int s = 0; s < SLOTS; ++s) {
                to[(t * SLOTS + s) * LANES + lane] = sums[t][s];
            }
        }
    };
    for (int half = warps / 2; half > 0; half /= 2) {
        if (warp >= half && warp < 2 * half) {
            put(shared + (warp - half) * (DEPTH * SLOTS * LANES));
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

    // All warps write, a row each: the first alone would take as long as for the products.
    if (warp == 0) {
        put(shared);
    }
    __syncthreads();
    const int top = strip / steps * group, row = top + strip % steps * DEPTH;
    const int bottom = min(min(row + DEPTH, top + group), rows);
    for (int t = warp; row + t < bottom; t += warps) {
        float* to = out + static_cast<long long>(row + t) * batch + first;
#pragma unroll
        for (int s = 0; s < SLOTS; ++s) {
            if (first + s * LANES < batch) {
                to[s * LANES] = shared[(t * SLOTS + s) * LANES + lane];
            }
        }
    }
}
