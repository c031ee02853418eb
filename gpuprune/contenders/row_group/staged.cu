// Row groups of one or two weights: a window of activations waits in shared memory.
//
// Layout. The columns are cut into windows of `window` columns, a multiple of DEPTH (1 or 2, the
// weights of a group), so that the activations of a window fit the shared memory of a block. What
// a row keeps in a window is a list of *steps*; a step is four weights, of STEP = 4 / DEPTH groups,
// and the place of each group's first column in the window. Zeros fill up the last step of a list.
// Lists lie window by window, in a window by row:
//
//     steps from starts[window * rows + row] up to the next
//     weights[step * 4 + group * DEPTH + t], places[step * STEP + group]
//
// Work. A thread block of (32, warps) threads copies the activations of one window and one slab of
// the batch to shared memory; lane l has the slab's columns l and, where SLOTS is 2, l + 32. Each
// warp then multiplies the lists of a run of rows, those from shares[window * (workers + 1) +
// worker] up to the next, and keeps a row's sums in registers. Steps are streamed through shared
// memory, 32 at a time, one a lane, while the next ones are on their way.
//
// Blocks are numbered window * blocks + block along x, slabs along y, and worker = block * warps +
// warp. Each window writes products of its own, out[window], which `add_parts` adds.

constexpr int LANES = 32;
constexpr int STEP = 4 / DEPTH;  // groups

struct alignas(16) Weights {
    float at[4];
};
struct alignas(2 * STEP) Places {
    unsigned short at[STEP];
};
struct alignas(4 * SLOTS) Operand {
    float at[SLOTS];
};

extern "C" __global__ void __launch_bounds__(1024, 1)
multiply_staged(const int rows, const int cols, const int batch, const int window,
                const int blocks,
                const int* __restrict__ shares,         // (windows, workers + 1)
                const int* __restrict__ starts,         // (windows * rows + 1)
                const Weights* __restrict__ weights,    // (steps)
                const Places* __restrict__ places,      // (steps)
                const float* __restrict__ activations,  // (cols, batch), `row_bytes` apart
                const long long row_bytes,
                float* __restrict__ out)                // (windows, rows, batch)
{
    extern __shared__ Weights shared[];
    const int lane = threadIdx.x, warp = threadIdx.y, warps = blockDim.y;
    Weights* chunk_weights = shared + warp * LANES;
    Operand* operands = reinterpret_cast<Operand*>(shared + warps * LANES);  // (window, LANES)
    Places* chunk_places = reinterpret_cast<Places*>(operands + window * LANES) + warp * LANES;

    const int number = blockIdx.x / blocks, worker = blockIdx.x % blocks * warps + warp;
    const int first = blockIdx.y * (LANES * SLOTS) + lane;
    for (int place = warp; place < window; place += warps) {
        const long long column = static_cast<long long>(number) * window + place;
        const float* row = reinterpret_cast<const float*>(
            reinterpret_cast<const char*>(activations + first) + column * row_bytes);
        Operand operand = {};
#pragma unroll
        for (int s = 0; s < SLOTS; ++s) {
            if (column < cols && first + s * LANES < batch) {
                operand.at[s] = row[s * LANES];
            }
        }
        operands[place * LANES + lane] = operand;
    }
    __syncthreads();

    const int* share = shares + static_cast<long long>(number) * (blocks * warps + 1);
    const int begin = share[worker], end = share[worker + 1];
    const long long list = static_cast<long long>(number) * rows;
    if (begin == end) {
        return;
    }
    int step = starts[list + begin];
    const int last_step = starts[list + end];
    int chunk_end = step;  // the step after those in shared memory
    Weights next_weights = {};
    Places next_places = {};
    const auto fetch = [&](const int from) {
        if (from + lane < last_step) {
            next_weights = weights[from + lane];
            next_places = places[from + lane];
        }
    };
    fetch(step);
    for (int row = begin; row < end; ++row) {
        const int stop = starts[list + row + 1];
        Operand sums = {};
        while (step < stop) {
            if (step == chunk_end) {
                __syncwarp();  // everyone has done with the chunk that goes
                chunk_weights[lane] = next_weights;
                chunk_places[lane] = next_places;
                __syncwarp();
                chunk_end += LANES;
                fetch(chunk_end);
            }
            int place = step - chunk_end + LANES;
            step = min(stop, chunk_end);
            const int pause = step - chunk_end + LANES;
#pragma unroll 2
            for (; place < pause; ++place) {
                const Weights four = chunk_weights[place];
                const Places at = chunk_places[place];
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const Operand operand =
                        operands[(at.at[i / DEPTH] + i % DEPTH) * LANES + lane];
#pragma unroll
                    for (int s = 0; s < SLOTS; ++s) {
                        sums.at[s] = fmaf(four.at[i], operand.at[s], sums.at[s]);
                    }
                }
            }
        }
#pragma unroll
        for (int s = 0; s < SLOTS; ++s) {
            if (first + s * LANES < batch) {
                out[(list + row) * batch + first + s * LANES] = sums.at[s];
            }
        }
    }
}
