// The machine below machine.h: a fiber for each CUDA thread, one block after the other. It is always
// compiled without sanitizers; a kernel that has some is told of fibers and barriers by hand.
#include "machine.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

extern "C" {
void __asan_init() __attribute__((weak));
void* __tsan_get_current_fiber() __attribute__((weak));
void* __tsan_create_fiber(unsigned) __attribute__((weak));
void __tsan_destroy_fiber(void*) __attribute__((weak));
void __tsan_switch_to_fiber(void*, unsigned) __attribute__((weak));
void __tsan_acquire(void*) __attribute__((weak));
void __tsan_release(void*) __attribute__((weak));
}

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

constexpr size_t STACK = 256 << 10;
constexpr unsigned WARP = 32;
constexpr unsigned UNORDERED = 1;  // switching fibers orders no memory: only barriers do

struct Meeting {  // of all threads of a warp, or of a block
    unsigned expected = 0, arrived = 0, round = 0;
    int line = 0;
    char order[2];                             // what sanitizers know the two last rounds by
    alignas(16) unsigned char values[2][WARP][16];
};

struct Thread {
    ucontext_t context;
    jmp_buf place;
    void* fiber;  // as sanitizers know it
    uint3 index;
    unsigned number;
    bool begun, done;
    int line;
};

struct Machine {
    std::vector<Thread> threads;
    std::vector<std::unique_ptr<char[]>> stacks;
    std::vector<Meeting> warps;
    Meeting block;
    std::unique_ptr<unsigned char[]> shared;
    ucontext_t scheduler;
    jmp_buf place;
    void* fiber = nullptr;
    Thread* current = nullptr;
    void (*body)(void*) = nullptr;
    void* closure = nullptr;
    bool moved = false;
    std::string error;
};
Machine* const machine = new Machine;

void release(void* what) {
    if (__tsan_release) __tsan_release(what);
}
void acquire(void* what) {
    if (__tsan_acquire) __tsan_acquire(what);
}

std::string at(const uint3& place) {
    return "(" + std::to_string(place.x) + ", " + std::to_string(place.y) + ", " +
           std::to_string(place.z) + ")";
}

// swapcontext asks the kernel of the operating system; jumps do not, but sanitizers follow them.
bool jumps() { return !__asan_init && !__tsan_switch_to_fiber; }

void to_scheduler() {
    Thread* self = machine->current;
    release(machine);
    if (jumps()) {
        if (!_setjmp(self->place)) _longjmp(machine->place, 1);
        return;
    }
    if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(machine->fiber, UNORDERED);
    swapcontext(&self->context, &machine->scheduler);
}

void to_thread(Thread& thread) {
    machine->current = &thread;
    threadIdx = thread.index;
    if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(thread.fiber, UNORDERED);
    if (!jumps()) {
        swapcontext(&machine->scheduler, &thread.context);
    } else if (!_setjmp(machine->place)) {
        if (thread.begun) _longjmp(thread.place, 1);
        thread.begun = true;
        setcontext(&thread.context);
    }
}

[[noreturn]] void fail(int line, const std::string& why) {
    machine->error = "line " + std::to_string(line) + ", block " + at(blockIdx) + ", thread " +
                     at(machine->current->index) + ": " + why;
    for (;;) to_scheduler();
}

// Wait for all: the one way in which a thread waits. Returns which of the two rounds it was.
unsigned meet(Meeting& meeting, int line, bool orders_memory) {
    if (meeting.arrived && meeting.line != line) {
        fail(line, "others wait at line " + std::to_string(meeting.line));
    }
    meeting.line = machine->current->line = line;
    const unsigned round = meeting.round, parity = round & 1;
    if (orders_memory) release(&meeting.order[parity]);
    if (++meeting.arrived == meeting.expected) {
        meeting.arrived = 0;
        ++meeting.round;
        machine->moved = true;
    }
    while (meeting.round == round) to_scheduler();
    if (orders_memory) acquire(&meeting.order[parity]);
    return parity;
}

void enter() {
    machine->body(machine->closure);
    machine->current->done = machine->moved = true;
    to_scheduler();
}

void prepare(unsigned count, size_t shared_bytes) {
    machine->shared.reset(new unsigned char[shared_bytes]);
    // Not-a-number and -1. By hand, since sanitizers watch memset.
    volatile unsigned char* poisoned = machine->shared.get();
    for (size_t i = 0; i < shared_bytes; ++i) poisoned[i] = 0xff;
    machine->block.expected = count;
    machine->block.arrived = 0;
    for (unsigned first = 0; first < count; first += WARP) {
        Meeting& warp = machine->warps[first / WARP];
        warp.expected = std::min(WARP, count - first);
        warp.arrived = 0;
    }
    for (unsigned i = 0; i < count; ++i) {
        Thread& thread = machine->threads[i];
        thread.number = i;
        thread.index = {i % blockDim.x, i / blockDim.x % blockDim.y,
                        i / blockDim.x / blockDim.y};
        thread.begun = thread.done = false;
        thread.fiber = __tsan_create_fiber ? __tsan_create_fiber(0) : nullptr;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = machine->stacks[i].get();
        thread.context.uc_stack.ss_size = STACK;
        makecontext(&thread.context, enter, 0);
    }
}

// One warp after the other, each as far as it gets; the seed says in which order.
void run_block(unsigned count, unsigned seed) {
    std::vector<unsigned> order((count + WARP - 1) / WARP);
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 random(seed);
    if (seed == 1) std::reverse(order.begin(), order.end());
    if (seed > 1) std::shuffle(order.begin(), order.end(), random);
    for (bool any_moved = true; any_moved;) {
        any_moved = false;
        for (unsigned warp : order) {
            do {
                machine->moved = false;
                for (unsigned lane = 0; lane < machine->warps[warp].expected; ++lane) {
                    const unsigned of = seed == 1 ? machine->warps[warp].expected - 1 - lane : lane;
                    Thread& thread = machine->threads[warp * WARP + of];
                    if (thread.done) continue;
                    to_thread(thread);
                    if (!machine->error.empty()) return;
                }
                any_moved |= machine->moved;
            } while (machine->moved);
        }
    }
    for (unsigned i = 0; i < count; ++i) {
        const Thread& thread = machine->threads[i];
        if (!thread.done) {
            machine->error = "line " + std::to_string(thread.line) + ", block " + at(blockIdx) +
                             ", thread " + at(thread.index) + ": waits for ever";
            return;
        }
    }
}

}  // namespace

extern "C" {

void* dynamic_shared() { return machine->shared.get(); }

void sync_threads(int line) { meet(machine->block, line, true); }

void sync_warp(int line) { meet(machine->warps[machine->current->number / WARP], line, true); }

const unsigned char (*exchange(int line, unsigned mask, const void* value, size_t size))[16] {
    if (mask != ~0u) fail(line, "the mask is not the whole warp");
    Meeting& warp = machine->warps[machine->current->number / WARP];
    unsigned char* mine = warp.values[warp.round & 1][machine->current->number % WARP];
    // By hand, since sanitizers watch memcpy, and these are no memory of the kernel.
    for (size_t i = 0; i < size; ++i) mine[i] = static_cast<const unsigned char*>(value)[i];
    return warp.values[meet(warp, line, false)];
}

const char* launch(void (*body)(void*), void* closure, const unsigned* grid, const unsigned* block,
                   const unsigned* only, size_t shared_bytes, unsigned seed) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    const unsigned count = block[0] * block[1] * block[2];
    if (count < 1 || count > 1024) return "a block has 1 to 1024 threads";
    if (!grid[0] || !grid[1] || !grid[2] || grid[1] > 65535 || grid[2] > 65535) {
        return "no grid is this large, or empty";
    }
    machine->error.clear();
    machine->body = body;
    machine->closure = closure;
    machine->threads.resize(count);
    machine->warps.resize((count + WARP - 1) / WARP);
    while (machine->stacks.size() < count) machine->stacks.emplace_back(new char[STACK]);
    if (__tsan_get_current_fiber) machine->fiber = __tsan_get_current_fiber();
    const uint3 from = only ? uint3{only[0], only[1], only[2]} : uint3{0, 0, 0};
    const uint3 to = only ? uint3{from.x + 1, from.y + 1, from.z + 1} : gridDim;
    for (unsigned z = from.z; z < to.z; ++z) {
        for (unsigned y = from.y; y < to.y; ++y) {
            for (unsigned x = from.x; x < to.x && machine->error.empty(); ++x) {
                blockIdx = {x, y, z};
                prepare(count, shared_bytes);
                run_block(count, seed);
                if (__tsan_destroy_fiber) {
                    for (Thread& thread : machine->threads) __tsan_destroy_fiber(thread.fiber);
                }
                acquire(machine);
            }
        }
    }
    return machine->error.empty() ? nullptr : machine->error.c_str();
}

}  // extern "C"
