// Stands before a kernel whose pointers to constants are `Watched`: writes down what every lane
// loads, and which load of its warp that is.
#include <algorithm>
#include <cstdint>
#include <vector>

struct Load {
    int64_t warp, clock, address, width;
};

static std::vector<Load> loads_seen;
static int64_t clocks[1024];  // of each thread of a block
static bool in_time = true;

static unsigned number() {
    return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

// Goes on where the block before, in which lanes may have parted in the end, cannot have come to.
static int64_t& clock_of_thread() {
    const int64_t begun = int64_t(1 + blockIdx.x + gridDim.x * blockIdx.y) << 40;
    int64_t& clock = clocks[number()];
    clock = std::max(clock, begun);
    return clock;
}

// Called wherever a kernel branches, whichever way it goes. So lanes that execute the same
// instruction together have the same time, whether they all load or some do not.
static void tick() { clock_of_thread() = (clock_of_thread() / 256 + 1) * 256; }

// Finds out where that does not hold: a branch that only some lanes came to.
[[maybe_unused]] static void compare_clocks(int line) {
    const int64_t mine = clock_of_thread();
    const unsigned char(*all)[16] = exchange(line, ~0u, &mine, sizeof mine);
    for (int lane = 0; lane < 32; ++lane) {
        int64_t theirs;
        std::memcpy(&theirs, all[lane], sizeof theirs);
        in_time &= theirs / 256 == mine / 256;
    }
}
#undef __syncthreads
#define __syncthreads() (compare_clocks(__LINE__), sync_threads(__LINE__))
#undef __syncwarp
#define __syncwarp() (compare_clocks(__LINE__), sync_warp(__LINE__))

template <class T>
struct Watched {
    const T* at;

    Watched(const T* pointer) : at(pointer) {}

    T operator[](long long i) const {
        constexpr int64_t widest = 16;  // bytes that a lane loads at once
        const auto address = reinterpret_cast<int64_t>(at + i);
        for (int64_t done = 0; done < int64_t(sizeof(T)); done += widest) {
            const int64_t width = std::min<int64_t>(widest, sizeof(T) - done);
            loads_seen.push_back({number() / 32, clock_of_thread()++, address + done, width});
        }
        return at[i];
    }
    T operator*() const { return (*this)[0]; }
    Watched operator+(long long i) const { return at + i; }
    Watched& operator+=(long long i) { return *this = *this + i; }
};

template <class To, class From>
[[maybe_unused]] static Watched<To> pointer_as(const Watched<From>& from) {
    return reinterpret_cast<const To*>(from.at);
}
template <class To>
[[maybe_unused]] static Watched<To> pointer_as(const void* from) {
    return static_cast<const To*>(from);
}

// Loads what lies at an address as another type: never the instruction of lanes that do not.
template <class To, class From>
[[maybe_unused]] static To load_as(const Watched<From>& from) {
    clock_of_thread() += 128;
    return Watched<To>(reinterpret_cast<const To*>(from.at))[0];
}

// Gives the loads since the last call, and returns how many there are; -1 if the lanes of a warp
// did not keep time.
extern "C" int64_t take_loads(const Load** loads) {
    static std::vector<Load> taken;
    taken.swap(loads_seen);
    loads_seen.clear();
    std::fill_n(clocks, 1024, 0);
    *loads = taken.data();
    return std::exchange(in_time, true) ? int64_t(taken.size()) : -1;
}
