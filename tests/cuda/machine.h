// Lets a C++ compiler take a file of CUDA C and run its kernels on the CPU. It has what our kernels
// use and no more; what is missing does not compile.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

struct uint3 {
    unsigned x, y, z;
};
extern uint3 threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __syncthreads() sync_threads(__LINE__)
#define __syncwarp() sync_warp(__LINE__)
#define __shfl_sync(mask, value, lane) shuffle(__LINE__, mask, value, lane)

extern "C" {
void* dynamic_shared();
void sync_threads(int line);
void sync_warp(int line);
// Every lane of a warp gives a value and gets everyone's, 16 bytes each. It orders no memory.
const unsigned char (*exchange(int line, unsigned mask, const void* value, size_t size))[16];
const char* launch(void (*body)(void*), void* closure, const unsigned* grid, const unsigned* block,
                   const unsigned* only, size_t shared_bytes, unsigned seed);
}

template <class T>
T shuffle(int line, unsigned mask, T value, int lane) {
    T theirs;
    std::memcpy(&theirs, exchange(line, mask, &value, sizeof value)[lane & 31], sizeof theirs);
    return theirs;
}

template <class T>
T min(T a, T b) {
    return b < a ? b : a;
}

#ifdef BFLOAT16  // what the kernel of the tensor cores leaves to the device
inline float to_float(unsigned bits) {
    float value;
    if (BFLOAT16) {
        bits <<= 16;
        std::memcpy(&value, &bits, sizeof value);
    } else {
        _Float16 half;
        const unsigned short low = bits;
        std::memcpy(&half, &low, sizeof half);
        value = half;
    }
    return value;
}

inline unsigned short rounded(float value) {
    unsigned short half_bits;
    if (BFLOAT16) {
        unsigned bits;
        std::memcpy(&bits, &value, sizeof bits);
        half_bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    } else {
        const auto half = static_cast<_Float16>(value);
        std::memcpy(&half_bits, &half, sizeof half_bits);
    }
    return half_bits;
}

// m16n8k16 as the PTX manual lays its operands out over the lanes: a is (16, 16), b is (16, 8).
inline void multiply_tile(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    float left[16][16], right[16][8];
    for (int i = 0; i < 4; ++i) {
        const unsigned char(*all)[16] = exchange(__LINE__, ~0u, &a[i], sizeof a[i]);
        for (int lane = 0; lane < 32; ++lane) {
            unsigned two;
            std::memcpy(&two, all[lane], sizeof two);
            float* to = &left[lane / 4 + i % 2 * 8][lane % 4 * 2 + i / 2 * 8];
            to[0] = to_float(two & 0xffff), to[1] = to_float(two >> 16);
        }
    }
    for (int i = 0; i < 2; ++i) {
        const unsigned char(*all)[16] = exchange(__LINE__, ~0u, &b[i], sizeof b[i]);
        for (int lane = 0; lane < 32; ++lane) {
            unsigned two;
            std::memcpy(&two, all[lane], sizeof two);
            const int row = lane % 4 * 2 + i * 8;
            right[row][lane / 4] = to_float(two & 0xffff);
            right[row + 1][lane / 4] = to_float(two >> 16);
        }
    }
    const int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; ++i) {
        for (int k = 0; k < 16; ++k) {
            sums[i] += left[lane / 4 + i / 2 * 8][k] * right[k][lane % 4 * 2 + i % 2];
        }
    }
}
#endif

// A kernel is called as cuLaunchKernel does it: by a pointer to each of its arguments.
template <class... A, size_t... I>
const char* run(void (*kernel)(A...), void** arguments, std::index_sequence<I...>,
                const unsigned* grid, const unsigned* block, const unsigned* only,
                size_t shared_bytes, unsigned seed) {
    auto call = [&] { kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...); };
    return launch([](void* closure) { (*static_cast<decltype(call)*>(closure))(); }, &call, grid,
                  block, only, shared_bytes, seed);
}

template <class... A>
constexpr auto count(void (*)(A...)) {
    return std::index_sequence_for<A...>{};
}

template <class... A>
void describe(void (*)(A...), char* kinds) {  // such as "P8i4": a pointer and an int
    ((*kinds++ = !std::is_arithmetic_v<A> ? 'P' : std::is_floating_point_v<A> ? 'f' : 'i',
      *kinds++ = '0' + sizeof(A)),
     ...);
    *kinds = 0;
}

#define ENTRY(kernel)                                                                         \
    extern "C" const char* run_##kernel(void** arguments, const unsigned* grid,               \
                                        const unsigned* block, const unsigned* only,          \
                                        size_t shared_bytes, unsigned seed) {                 \
        return run(kernel, arguments, count(kernel), grid, block, only, shared_bytes, seed);  \
    }                                                                                         \
    extern "C" void describe_##kernel(char* kinds) { describe(kernel, kinds); }
