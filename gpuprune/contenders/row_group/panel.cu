// Row groups of four weights and more: a block of activations waits in registers, the sums of a
// panel of rows in shared memory.
//
// Layout. Each group is cut into steps of DEPTH weights (4, 8 or 16; zeros fill up the last),
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
// once, those of TOGETHER records while it works on as many before, and adds their product with
// every entry to the sums of the entry's row. Sums are private to a lane, so that no order is left to chance. Entries are
// streamed through shared memory, CHUNK at a time, while the next ones are on their way. They are
// multiplied two at a time, for one alone would wait for its own sums; in a record no row comes
// twice. RAGGED is 1 where blocks reach beyond the matrix.
//
// A thread block of (32, panels, slices) threads has `slices` warps for each of its panels; their
// sums are added in order at the end. Blocks are numbered tile * splits + split along x, slabs
// along y; a tile is the panels of a block, and parts = splits * slices. Each split writes
// products of its own, out[split], which `add_parts` adds.

constexpr int LANES = 32;
constexpr int WIDTH = LANES * SLOTS;                           // columns of a slab
constexpr int TOGETHER = 16 / DEPTH;                           // records loaded at once
constexpr int VECTORS = CHUNK * DEPTH / 4 / LANES;             // of four weights, a lane and chunk
constexpr unsigned ALL = 0xffffffffu;

struct alignas(16) Weights {
    float at[4];
};
struct alignas(4 * SLOTS) Sums {
    float at[SLOTS];
};

// The activations of a record, as one lane has them: zeros beyond the matrix or the batch.
struct Held {
    Sums at[DEPTH] = {};

    __device__ void load(const char* slab, const long long row_bytes, const unsigned column,
                         const unsigned cols, const int left) {
        const char* at_column = slab + column * row_bytes;
#pragma unroll
        for (int t = 0; t < DEPTH; ++t) {
            const float* row = reinterpret_cast<const float*>(at_column);
            const bool is_there = !RAGGED || column + t < cols;
            if (!is_there) {
                at[t] = {};
            }
#pragma unroll
            for (int s = 0; s < SLOTS; ++s) {
                if (is_there && s * LANES < left) {
                    at[t].at[s] = row[s * LANES];
                }
            }
            at_column += row_bytes;
        }
    }
};

// Adds the products of COUNT entries to the sums of their rows, which differ.
template <int COUNT>
__device__ __forceinline__ void multiply_entries(const Held& held, const Weights* weights,
                                                 const int* rows, Sums* sums) {
    Sums* to[COUNT];
    Sums totals[COUNT];
#pragma unroll
    for (int e = 0; e < COUNT; ++e) {
        to[e] = sums + rows[e];
        totals[e] = *to[e];
    }
#pragma unroll
    for (int t = 0; t < DEPTH; t += 4) {
#pragma unroll
        for (int e = 0; e < COUNT; ++e) {
            const Weights four = weights[e * (DEPTH / 4) + t / 4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int s = 0; s < SLOTS; ++s) {
                    totals[e].at[s] = fmaf(four.at[i], held.at[t + i].at[s], totals[e].at[s]);
                }
            }
        }
    }
#pragma unroll
    for (int e = 0; e < COUNT; ++e) {
        *to[e] = totals[e];
    }
}

extern "C" __global__ void __launch_bounds__(512, 1)
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
    int* chunk_rows = reinterpret_cast<int*>(all_sums + warps * (HEIGHT * LANES)) + warp * CHUNK;

    const int* share = shares + static_cast<long long>(panel) * (splits * slices + 1);
    const int part = split * slices + slice;
    const int begin = panel < panels ? share[part] : 0;
    const int end = panel < panels ? share[part + 1] : 0;
    int entry = begin < end ? starts[begin] : 0;
    const int last_entry = begin < end ? starts[end] : 0;
    int chunk_end = entry;  // the entry after those in shared memory
    Weights next_weights[VECTORS] = {};
    int next_row = 0;
    const auto fetch = [&] {  // the chunk after that in shared memory, to registers
#pragma unroll
        for (int v = 0; v < VECTORS; ++v) {
            const int vector = v * LANES + lane;
            if (chunk_end + vector / (DEPTH / 4) < last_entry) {
                next_weights[v] =
                    weights[static_cast<long long>(chunk_end) * (DEPTH / 4) + vector];
            }
        }
        if (lane < CHUNK && chunk_end + lane < last_entry) {
            next_row = rows[chunk_end + lane];
        }
    };
    const auto replace_chunk = [&] {
        __syncwarp();  // everyone has done with the chunk that goes
#pragma unroll
        for (int v = 0; v < VECTORS; ++v) {
            chunk[v * LANES + lane] = next_weights[v];
        }
        if (lane < CHUNK) {
            chunk_rows[lane] = next_row * LANES;
        }
        __syncwarp();
        chunk_end += CHUNK;
        fetch();
    };
    fetch();
    // While the first entries are on their way.
    for (int row = 0; row < HEIGHT; ++row) {
        sums[row * LANES] = {};
    }
    if (begin < end) {
        replace_chunk();

        const char* slab = reinterpret_cast<const char*>(activations + first);
        int known_column = 0, known_stop = 0;  // of the record that is `lane` after the last ones
        Held held[2][TOGETHER];  // those at hand and those on their way, by turns
        int stops[TOGETHER] = {};  // nothing is at hand in the first pass
        for (int pair = begin; pair < end + TOGETHER; pair += 2 * TOGETHER) {
#pragma unroll
            for (int turn = 0; turn < 2; ++turn) {
                const int coming = pair + turn * TOGETHER;
                if (coming >= end + TOGETHER) {
                    break;
                }
                const int known = static_cast<unsigned>(coming - begin) % LANES;
                if (known == 0 && coming + lane < end) {
                    known_column = columns[coming + lane];
                    known_stop = starts[coming + lane + 1];
                }
#pragma unroll
                for (int k = 0; k < TOGETHER; ++k) {
                    const int column = __shfl_sync(ALL, known_column, known + k);
                    if (coming + k < end) {
                        held[turn][k].load(slab, row_bytes, column, cols, batch - first);
                    }
                }
#pragma unroll
                for (int k = 0; k < TOGETHER; ++k) {
                    const int stop = stops[k];
                    // Not where the last pass ended: the compiler would have this pass wait for
                    // all that it has just begun to load (it has one counter for loads).
                    if (k == 0 && entry == chunk_end) {
                        replace_chunk();
                    }
                    while (entry < stop) {
                        int place = entry - chunk_end + CHUNK;
                        entry = min(stop, chunk_end);
                        const int pause = entry - chunk_end + CHUNK;
#pragma unroll 1
                        for (; place + 1 < pause; place += 2) {
                            multiply_entries<2>(held[1 - turn][k], chunk + place * (DEPTH / 4),
                                                chunk_rows + place, sums);
                        }
                        if (place < pause) {
                            multiply_entries<1>(held[1 - turn][k], chunk + place * (DEPTH / 4),
                                                chunk_rows + place, sums);
                        }
                        if (entry == chunk_end && (k + 1 < TOGETHER || entry < stop)) {
                            replace_chunk();
                        }
                    }
                    stops[k] = __shfl_sync(ALL, known_stop, known + k);  // past the end an old one
                }
            }
        }
    }
    __syncthreads();

    // Each warp adds and writes rows.
    for (int i = warp; i < static_cast<int>(blockDim.y) * HEIGHT; i += warps) {
        const int row = i % HEIGHT, of = i / HEIGHT;
        const long long to_row = (static_cast<long long>(tile) * blockDim.y + of) * HEIGHT + row;
        Sums total = {};
        for (int s = 0; s < slices; ++s) {
            const Sums theirs =
                all_sums[((s * blockDim.y + of) * HEIGHT + row) * LANES + lane];
#pragma unroll
            for (int slot = 0; slot < SLOTS; ++slot) {
                total.at[slot] += theirs.at[slot];
            }
        }
        float* to = out + (static_cast<long long>(split) * height + to_row) * batch + first;
#pragma unroll
        for (int slot = 0; slot < SLOTS; ++slot) {
            if (to_row < height && first + slot * LANES < batch) {
                to[slot * LANES] = total.at[slot];
            }
        }
    }
}
