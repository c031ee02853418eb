// Row groups of four weights and more: a block of activations waits in registers, the sums of a
// panel of rows in shared memory.
//
// Layout. Each group is cut into steps of DEPTH weights (4, 8, 16 or 32; zeros fill up the last),
// and the columns of a step are a *block*, the same in every row. Rows come in panels of HEIGHT.
// An *entry* is what a row keeps of a block: its row in the panel, one byte, and DEPTH weights. A
// *record* is what a panel keeps of a block: the block's first column, and the entries of as many
// rows as keep it. Records lie panel by panel, in a panel by block; the entries of a record by row:
//
//     columns[record], entries from starts[record] up to starts[record + 1]
//     rows[entry], weights[entry * DEPTH + t]
//
// Work. A warp multiplies a share of the records of a panel, those from
// shares[panel * (parts + 1) + part] up to the next, with a slab of the batch: lane l has its
// columns l and, where SLOTS is 2, l + 32. It loads the DEPTH x 32 x SLOTS activations of a record
// once, and adds their product with every entry to the sums of the entry's row. Sums are private
// to a lane, so that no order is left to chance. The weights are streamed through shared memory,
// CHUNK entries at a time, while the next ones are on their way.
//
// A thread block of (32, panels, slices) threads has `slices` warps for each of its panels; their
// sums are added in order at the end. Blocks are numbered tile * splits + split along x, slabs
// along y; a tile is the panels of a block, and parts = splits * slices. Each split writes
// products of its own, out[split], which `add_parts` adds.

constexpr int LANES = 32;
constexpr int WIDTH = LANES * SLOTS;                           // columns of a slab
constexpr int VECTORS = CHUNK * DEPTH / 4 / LANES;             // of four weights, a lane and chunk
constexpr bool AHEAD = DEPTH < 32;                             // registers for a second record
constexpr unsigned ALL = 0xffffffffu;

struct alignas(16) Weights {
    float at[4];
};
struct alignas(4 * SLOTS) Sums {
    float at[SLOTS];
};

// The activations of a record, as one lane has them.
struct Held {
    Sums at[DEPTH];

    // Columns beyond the matrix or the batch are zeros.
    __device__ void load(const float* __restrict__ activations, const long long row_bytes,
                         const int column, const int cols, const int first, const int batch) {
#pragma unroll
        for (int t = 0; t < DEPTH; ++t) {
            const float* row = reinterpret_cast<const float*>(
                reinterpret_cast<const char*>(activations + first) + (column + t) * row_bytes);
#pragma unroll
            for (int s = 0; s < SLOTS; ++s) {
                const bool is_there = column + t < cols && first + s * LANES < batch;
                at[t].at[s] = is_there ? row[s * LANES] : 0.0f;
            }
        }
    }
};

extern "C" __global__ void __launch_bounds__(512)
multiply_panels(const int height, const int cols, const int batch, const int panels,
                const int splits,
                const int* __restrict__ shares,           // (panels, parts + 1)
                const int* __restrict__ columns,          // (records)
                const int* __restrict__ starts,           // (records + 1)
                const unsigned char* __restrict__ rows,   // (entries)
                const Weights* __restrict__ weights,      // (entries, DEPTH / 4)
                const float* __restrict__ activations,    // (cols, batch), `row_bytes` apart
                const long long row_bytes,
                float* __restrict__ out)                  // (splits, height, batch)
{
    extern __shared__ Weights shared[];
    const int lane = threadIdx.x, slice = threadIdx.z, slices = blockDim.z;
    const int warp = slice * blockDim.y + threadIdx.y, warps = blockDim.y * slices;
    const int tile = blockIdx.x / splits, split = blockIdx.x % splits;
    const int panel = tile * blockDim.y + threadIdx.y;
    const int first = blockIdx.y * WIDTH + lane;
    Weights* chunk = shared + warp * (CHUNK * DEPTH / 4);
    Sums* all_sums = reinterpret_cast<Sums*>(shared + warps * (CHUNK * DEPTH / 4));
    Sums* sums = all_sums + warp * (HEIGHT * LANES) + lane;  // those of a row are LANES apart

    for (int row = 0; row < HEIGHT; ++row) {
        sums[row * LANES] = {};
    }
    const int* share = shares + static_cast<long long>(panel) * (splits * slices + 1);
    const int part = split * slices + slice;
    const int begin = panel < panels ? share[part] : 0;
    const int end = panel < panels ? share[part + 1] : 0;
    if (begin < end) {
        int entry = starts[begin];
        const int last_entry = starts[end];
        int chunk_end = entry;  // the entry after those in shared memory
        Weights next_weights[VECTORS] = {};
        int next_row = 0, chunk_row = 0;
        const auto fetch = [&](const int from) {  // one chunk, to registers
#pragma unroll
            for (int v = 0; v < VECTORS; ++v) {
                const int vector = v * LANES + lane;
                if (from + vector / (DEPTH / 4) < last_entry) {
                    next_weights[v] = weights[static_cast<long long>(from) * (DEPTH / 4) + vector];
                }
            }
            if (lane < CHUNK && from + lane < last_entry) {
                next_row = rows[from + lane];
            }
        };
        fetch(entry);

        int next_column = 0, next_stop = 0;  // of the record that is `lane` after the last ones
        Held held, next;
        for (int record = begin; record < end; ++record) {
            const int known = (record - begin) % LANES;
            if (known == 0) {
                if (record + lane < end) {
                    next_column = columns[record + lane];
                    next_stop = starts[record + lane + 1];
                }
            }
            const int column = __shfl_sync(ALL, next_column, known);
            const int stop = __shfl_sync(ALL, next_stop, known);
            if (!AHEAD || known == 0) {
                held.load(activations, row_bytes, column, cols, first, batch);
            } else {
                held = next;
            }
            if (AHEAD && known + 1 < LANES) {
                const int coming = __shfl_sync(ALL, next_column, known + 1);
                if (record + 1 < end) {
                    next.load(activations, row_bytes, coming, cols, first, batch);
                }
            }
            while (entry < stop) {
                if (entry == chunk_end) {
                    __syncwarp();  // everyone has done with the chunk that goes
#pragma unroll
                    for (int v = 0; v < VECTORS; ++v) {
                        chunk[v * LANES + lane] = next_weights[v];
                    }
                    chunk_row = next_row;
                    __syncwarp();
                    chunk_end += CHUNK;
                    fetch(chunk_end);
                }
                const int pause = min(stop, chunk_end);
                for (; entry < pause; ++entry) {
                    const int place = entry - chunk_end + CHUNK;
                    const int row = __shfl_sync(ALL, chunk_row, place);
                    Sums products = {};
#pragma unroll
                    for (int t = 0; t < DEPTH; t += 4) {
                        const Weights four = chunk[place * (DEPTH / 4) + t / 4];
#pragma unroll
                        for (int i = 0; i < 4; ++i) {
#pragma unroll
                            for (int s = 0; s < SLOTS; ++s) {
                                products.at[s] =
                                    fmaf(four.at[i], held.at[t + i].at[s], products.at[s]);
                            }
                        }
                    }
                    Sums total = sums[row * LANES];
#pragma unroll
                    for (int s = 0; s < SLOTS; ++s) {
                        total.at[s] += products.at[s];
                    }
                    sums[row * LANES] = total;
                }
            }
        }
    }
    __syncthreads();

    // Consecutive threads write consecutive columns of the batch.
    const int threads = LANES * warps;
    for (int i = warp * LANES + lane; i < static_cast<int>(blockDim.y) * HEIGHT * WIDTH;
         i += threads) {
        const int column = i % WIDTH, row = i / WIDTH % HEIGHT, of = i / (WIDTH * HEIGHT);
        const long long to_row = (static_cast<long long>(tile) * blockDim.y + of) * HEIGHT + row;
        const int to_column = blockIdx.y * WIDTH + column;
        if (to_row < height && to_column < batch) {
            float total = 0.0f;
            for (int s = 0; s < slices; ++s) {
                const Sums* theirs = all_sums + (s * blockDim.y + of) * (HEIGHT * LANES);
                total += theirs[row * LANES + column % LANES].at[column / LANES];
            }
            out[(static_cast<long long>(split) * height + to_row) * batch + to_column] = total;
        }
    }
}
