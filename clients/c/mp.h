/*
 * mp.h - use the shared memory of mp, Go's package for multiprocessing, in C.
 *
 * A Go program starts this program with proc.Command and passes it objects by name:
 *
 *     cmd := proc.Command("./worker").Pass("jobs", jobs).Pass("points", points)
 *
 * This program attaches and opens them by these names:
 *
 *     mp_context mp;
 *     mp_pipe jobs;
 *     if (mp_attach(&mp) != MP_OK || mp_pipe_open(&mp, "jobs", MP_ANY_END, &jobs) != MP_OK)
 *         ...
 *     while ((err = mp_receive(&jobs, buf, sizeof buf, &n, MP_FOREVER)) == MP_OK)
 *         err = mp_send(&jobs, buf, n, MP_FOREVER);
 *
 * The header needs Linux and C11, and no library. Include it before all other headers, or define
 * _GNU_SOURCE and _FILE_OFFSET_BITS=64. docs/design/clients.md describes the protocols.
 *
 * The program is a party of each segment from before it runs until it ends. It may be killed at any
 * instruction: the Go programs learn of its death as of that of a Go process.
 *
 * Each function returns MP_OK or one of the errors below; an error means that nothing was taken or
 * changed. A reference (ref) names an object: the name under which it was passed, or the text of a
 * handle, or the name that it has in a segment to which this program is attached; in this order.
 *
 * Threads: one thread at a time may use a direction of an mp_pipe, and a function that opens or
 * attaches. Everything else may be called by several threads at once. After fork, the child must
 * call mp_after_fork or exec: until then the death of its parent is not noticed.
 */
#ifndef MP_H
#define MP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef __linux__
#error "mp.h needs Linux"
#endif

/* The constants of the layout. Go tests compare them with the Go code. */

/* layout: shm */
#define MP_LAYOUT_VERSION 3
#define MP_BYTE_ORDER 0x01020304
#define MP_HEADER_SIZE 56
#define MP_DIRECTORY_MARK 384
#define MP_PARTIES_OFFSET 512
#define MP_MAX_OBJECTS 1048576
#define MP_ENTRY_SIZE 640
#define MP_ENTRY_STATE 0
#define MP_ENTRY_SERIAL 4
#define MP_ENTRY_KIND 8
#define MP_ENTRY_NAME_LENGTH 12
#define MP_ENTRY_PRINT 16
#define MP_ENTRY_OFFSET 24
#define MP_ENTRY_BYTES 32
#define MP_ENTRY_HOLDS 48
#define MP_ENTRY_NAME 432
#define MP_HOLD_WORDS 32
#define MP_STATE_READY 2
#define MP_MAX_NAME 120
#define MP_KIND_PIPE 2
#define MP_KIND_VALUE 13
#define MP_KIND_ARRAY 14
#define MP_KIND_BYTES 15
#define MP_HANDLE_BYTES 40
/* layout: internal/party */
#define MP_LINE_SIZE 128
#define MP_LINE_WORD 0
#define MP_LINE_PID 4
#define MP_LINE_NAMESPACE 8
#define MP_LINE_BITS 10
#define MP_MAX_PARTIES 1023
#define MP_LOCK_BASE_SHIFT 62
#define MP_EPOCH 128
#define MP_DEATHS 132
#define MP_PARTY_MARK 136
/* layout: internal/wait */
#define MP_GATE_SLEEPERS 1
#define MP_GATE_FENCE_REQUESTED 2
#define MP_GATE_FENCE_DONE 4
#define MP_GATE_ONE_WAKE 8
#define MP_GATE_QUIET 4
#define MP_QUIET_LIMIT 64
#define MP_GRACE_MS 50
/* layout: internal/robust */
#define MP_LOCK_GRANTED 1
#define MP_LOCK_HEIR_SHIFT 33
#define MP_LOCK_GATE 8
/* layout: internal/lock */
#define MP_GUARD_LOCK 8
/* layout: ring */
#define MP_PIPE_SIZE 0
#define MP_PIPE_FINGERPRINT 1
#define MP_STREAM_A_TO_B 128
#define MP_STREAM_B_TO_A 896
#define MP_PIPE_RINGS 1664
#define MP_STREAM_TX 0
#define MP_STREAM_TAIL 128
#define MP_STREAM_RX 256
#define MP_STREAM_HEAD 384
#define MP_STREAM_READABLE 512
#define MP_STREAM_WRITABLE 640
#define MP_SIDE_BIAS 0
#define MP_SIDE_INSIDE 4
#define MP_SIDE_LOCK 8
#define MP_SIDE_REVOKED 1
#define MP_RECORD_HEAD 8
#define MP_RECORD_MESSAGE 1
#define MP_RECORD_FILLER 2
#define MP_RECORD_PIECE 3
#define MP_RECORD_MASK 3
#define MP_RECORD_SHIFT 2
#define MP_PART_FIRST 0
#define MP_PART_NEXT 1
#define MP_PART_LAST 2
#define MP_PART_SHIFT 2
#define MP_PART_MASK 3
#define MP_PIECE_SHIFT 4
#define MP_PIECE_AGAIN 31
#define MP_PIECE_ABORTED 15
#define MP_PIECE_CLAIMED_SHIFT 63
#define MP_LONG_HEAD 16
#define MP_MIN_PIECE 64
#define MP_MAX_PIECE 262144
#define MP_PIECES_IN_RING 8
#define MP_SIMPLEX_FINGERPRINT 2
#define MP_MIN_RING 4096
#define MP_END_A 1
#define MP_END_B 2
/* layout: value */
#define MP_VALUE_FORMAT 1
#define MP_VALUE_COPIES_OFFSET 4
#define MP_VALUE_SIZE_OFFSET 8
#define MP_VALUE_STRIDE_OFFSET 16
#define MP_VALUE_GATE 24
#define MP_VALUE_WRITER 168
#define MP_VALUE_WORD 256
#define MP_VALUE_COPIES_BASE 384
#define MP_VALUE_COPIES 4
/* layout: array */
#define MP_ARRAY_FORMAT 1
#define MP_ARRAY_SIZE_OFFSET 8
#define MP_ARRAY_LENGTH_OFFSET 16
#define MP_ARRAY_DATA 128
/* layout: end */

/* The errors. */
enum {
    MP_OK = 0,
    MP_END = -1,           /* the other end has no holder any more, and there is no message left */
    MP_BROKEN_PIPE = -2,   /* no process holds the other end */
    MP_TIMEOUT = -3,       /* the time is over; with timeout 0: it would have to wait */
    MP_TOO_LARGE = -4,     /* the segment is larger than this program's address space */
    MP_SHORT_BUFFER = -5,  /* the message is longer than the buffer, and stays in the pipe */
    MP_NOT_FOUND = -6,     /* there is no such object, or it was removed */
    MP_MISMATCH = -7,      /* the object is of another kind, or its elements have another size */
    MP_VERSION = -8,       /* the segment or object was made by another version of mp */
    MP_CORRUPT = -9,       /* what is in memory can't be */
    MP_INVALID = -10,      /* an argument is not valid */
    MP_NOT_ATTACHED = -11, /* this program was given no party, or another process has taken it */
    MP_SYSTEM = -12,       /* a system call has failed: see errno */
    MP_WRONG_DIRECTION = -13 /* the pipe has one direction, and the call is for the other one */
};

/* mp_error returns the text of an error. */
static inline const char *mp_error(int err)
{
    switch (err) {
    case MP_OK: return "no error";
    case MP_END: return "end of file: no process holds the other end of the pipe";
    case MP_BROKEN_PIPE: return "broken pipe: no process holds the other end";
    case MP_TIMEOUT: return "timeout";
    case MP_TOO_LARGE: return "segment is larger than the address space";
    case MP_SHORT_BUFFER: return "message is longer than the buffer";
    case MP_NOT_FOUND: return "no such object";
    case MP_MISMATCH: return "object is of another kind, or has elements of another size";
    case MP_VERSION: return "made by another version of mp";
    case MP_CORRUPT: return "memory is corrupt";
    case MP_INVALID: return "invalid argument";
    case MP_NOT_ATTACHED: return "not attached: start this program with proc.Command and pass it an object";
    case MP_SYSTEM: return strerror(errno);
    case MP_WRONG_DIRECTION: return "the pipe has one direction, and this end is for the other one";
    }
    return "unknown error";
}

enum { MP_FOREVER = -1, MP_ANY_END = 0 };

enum { MP_MAX_SEGMENTS = 64 };

/* An mp_segment is a segment to which this program is attached. */
typedef struct mp_segment {
    int fd;            /* -1: not attached any more */
    uint32_t me;       /* this program's party */
    uint32_t lines;    /* of the party table */
    uint32_t entries;  /* of the directory */
    uint8_t *memory;
    uint64_t total;
    uint64_t base;     /* where the objects begin, or less */
    uint64_t directory;
    uint8_t id[16];
    int registered;    /* the kernel executes sleepers' fences in this process */
    int64_t looked;    /* when this program last looked for deaths, in ms */
} mp_segment;

/* An mp_context is all segments of this program. */
typedef struct mp_context {
    int count;
    mp_segment segments[MP_MAX_SEGMENTS];
} mp_context;

/* An mp_object is an object of a segment. */
typedef struct mp_object {
    mp_segment *segment;
    uint32_t kind, role, entry;
    uint8_t *memory;
    uint64_t size;
} mp_object;

/* An mp_array is an array or byte string. data has length elements of size bytes each. */
typedef struct mp_array {
    mp_object object;
    void *data;
    size_t length, size;
} mp_array;

/* An mp_value is a value of size bytes. */
typedef struct mp_value {
    mp_object object;
    size_t size;
    uint64_t stride; /* 0: it is a word */
} mp_value;

/* An mp_block is a block of plain memory, without synchronization. */
typedef struct mp_block {
    int fd;
    void *data;
    size_t size;
} mp_block;

/* An mp_side is the use that this program makes of one side of a direction of a pipe. */
typedef struct mp_side {
    uint8_t *words;
    int has_bias, locked, fenced;
    uint32_t skip, skips;             /* see mp__spin */
    uint32_t yield_skip, yield_debt; /* see mp__yield */
} mp_side;

typedef struct mp_stream {
    uint8_t *words, *ring;
    mp_side side;
} mp_stream;

/* An mp_pipe is one end of a pipe. */
typedef struct mp_pipe {
    mp_object object;
    uint64_t size, limit, piece_limit;
    mp_stream out, in; /* a pipe of one direction has only one of them: ring is NULL in the other */
    uint32_t other, peer_epoch;
    int closed;
} mp_pipe;

/* ---- atomic operations ---- */

static inline uint32_t mp__load32(const uint8_t *p)
{
    return atomic_load_explicit((const _Atomic uint32_t *)(const void *)p, memory_order_acquire);
}
static inline uint64_t mp__load64(const uint8_t *p)
{
    return atomic_load_explicit((const _Atomic uint64_t *)(const void *)p, memory_order_acquire);
}
static inline void mp__store32(uint8_t *p, uint32_t v)
{
    atomic_store_explicit((_Atomic uint32_t *)(void *)p, v, memory_order_release);
}
static inline void mp__store64(uint8_t *p, uint64_t v)
{
    atomic_store_explicit((_Atomic uint64_t *)(void *)p, v, memory_order_release);
}
static inline int mp__cas32(uint8_t *p, uint32_t old, uint32_t v)
{
    return atomic_compare_exchange_strong((_Atomic uint32_t *)(void *)p, &old, v);
}
static inline int mp__cas64(uint8_t *p, uint64_t old, uint64_t v)
{
    return atomic_compare_exchange_strong((_Atomic uint64_t *)(void *)p, &old, v);
}
static inline uint32_t mp__add32(uint8_t *p, uint32_t n)
{
    return atomic_fetch_add((_Atomic uint32_t *)(void *)p, n) + n;
}

#if defined(__x86_64__) || defined(__i386__)
#define MP__X86 1
static inline void mp__pause(void) { __asm__ __volatile__("pause" ::: "memory"); }
#else
#define MP__X86 0
static inline void mp__pause(void) { atomic_signal_fence(memory_order_seq_cst); }
#endif

/* ---- system calls ---- */

enum { MP__SYS_FUTEX_WAITV = 449, MP__SYS_MEMBARRIER_GLOBAL = 2, MP__SYS_MEMBARRIER_REGISTER = 4 };

static inline void mp__wake(uint8_t *word, int n)
{
    syscall(SYS_futex, word, 1 /* FUTEX_WAKE */, n, NULL, NULL, 0);
}

static inline int64_t mp__now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* mp__membarrier executes a full fence in every running process that has registered for it. It
 * returns 0 if the kernel does not. */
static inline int mp__membarrier(void)
{
#if MP__X86
    return syscall(SYS_membarrier, MP__SYS_MEMBARRIER_GLOBAL, 0, 0) == 0;
#else
    atomic_thread_fence(memory_order_seq_cst);
    return 1; /* publishers execute fences of their own */
#endif
}

/* mp__order is what a publisher executes between its publication and its load of a gate. */
static inline void mp__order(const mp_segment *s)
{
    if (MP__X86 && s->registered)
        atomic_signal_fence(memory_order_seq_cst); /* sleepers call membarrier */
    else
        atomic_thread_fence(memory_order_seq_cst);
}

/* mp__sleep sleeps until *word is not val, or *epoch not seen, or ns nanoseconds have passed. */
static inline void mp__sleep(uint8_t *word, uint32_t val, uint8_t *epoch, uint32_t seen, int64_t ns)
{
    struct { uint64_t val, addr; uint32_t flags, reserved; } waiters[2] = {
        { val, (uint64_t)(uintptr_t)word, 2 /* FUTEX_32 */, 0 },
        { seen, (uint64_t)(uintptr_t)epoch, 2, 0 },
    };
    struct { int64_t sec, nsec; } until;
    int64_t end = mp__now() + ns;
    until.sec = end / 1000000000;
    until.nsec = end % 1000000000;
    if (syscall(MP__SYS_FUTEX_WAITV, waiters, 2, 0, &until, CLOCK_MONOTONIC) >= 0)
        return;
    if (errno == ENOSYS || errno == EPERM || errno == EINVAL) { /* before Linux 5.16: a short sleep on one word */
        struct { long sec, nsec; } slice = { 0, ns < 10000000 ? (long)ns : 10000000 };
        if (mp__load32(epoch) == seen)
            syscall(SYS_futex, word, 0 /* FUTEX_WAIT */, val, &slice, NULL, 0);
    }
}

/* ---- parties ---- */

static inline uint8_t *mp__line(const mp_segment *s, uint32_t n)
{
    return s->memory + MP_PARTIES_OFFSET + (uint64_t)MP_LINE_SIZE * n;
}
static inline uint8_t *mp__epoch(const mp_segment *s) { return s->memory + MP_EPOCH; }
static inline int mp__alive_line(const mp_segment *s, uint32_t n)
{
    return n > 0 && n < s->lines && (mp__load32(mp__line(s, n) + MP_LINE_WORD) & 1);
}
static inline int mp__dead(const mp_segment *s, uint32_t id)
{
    uint32_t n = id & ((1u << MP_LINE_BITS) - 1);
    return n == 0 || n >= s->lines || mp__load32(mp__line(s, n) + MP_LINE_WORD) != (id << 1 | 1);
}

/* mp__move moves the epoch and wakes everything that sleeps on it. */
static inline void mp__move(const mp_segment *s)
{
    mp__add32(mp__epoch(s), 1);
    mp__wake(mp__epoch(s), INT_MAX);
}

static inline int mp__lock_line(const mp_segment *s, int command, short type, uint32_t n, short *found)
{
    struct flock lock;
    int r;
    memset(&lock, 0, sizeof lock);
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = (off_t)((int64_t)1 << MP_LOCK_BASE_SHIFT) + n;
    lock.l_len = 1;
    do
        r = fcntl(s->fd, command, &lock);
    while (r != 0 && errno == EINTR);
    if (found != NULL)
        *found = lock.l_type;
    return r == 0;
}

/* mp__look looks for deaths that no party has announced, and announces them:
 *
 *   1. It confirms the death by the lock of the line, and marks the line dead.
 *   2. It counts the death and moves the epoch.
 *   3. It wakes everything that sleeps on the epoch.
 *
 * If this program is killed after 1, parties that saw the line alive announce it again. */
static inline void mp__look(mp_segment *s)
{
    uint32_t n, mark = mp__load32(s->memory + MP_PARTY_MARK);
    s->looked = mp__now();
    if (mark >= s->lines)
        mark = s->lines - 1;
    for (n = 1; n <= mark; n++) {
        uint8_t *word = mp__line(s, n) + MP_LINE_WORD;
        uint32_t w = mp__load32(word);
        short held = F_WRLCK;
        if (!(w & 1) || n == (s->me & ((1u << MP_LINE_BITS) - 1)))
            continue;
        if (!mp__lock_line(s, F_OFD_GETLK, F_RDLCK, n, &held) || held != F_UNLCK)
            continue;
        if (!mp__lock_line(s, F_OFD_SETLK, F_WRLCK, n, NULL))
            continue;
        if (mp__load32(word) == w)
            mp__store32(word, w & ~1u);
        mp__lock_line(s, F_OFD_SETLK, F_UNLCK, n, NULL);
        mp__add32(s->memory + MP_DEATHS, 1);
        mp__move(s);
    }
}

/* ---- gates: see docs/design/waiting.md ---- */

/* mp__notify wakes n sleepers of the gate, if there may be one. The caller has published. */
static inline void mp__notify(const mp_segment *s, uint8_t *gate, int n)
{
    uint32_t w, quiet;
    mp__order(s);
    if (!(mp__load32(gate) & (MP_GATE_SLEEPERS | MP_GATE_FENCE_REQUESTED)))
        return;
    quiet = mp__add32(gate + MP_GATE_QUIET, 1); /* a full fence */
    for (;;) {
        w = mp__load32(gate);
        if (w & MP_GATE_SLEEPERS) {
            if (mp__cas32(gate, w, (w + MP_GATE_ONE_WAKE) & ~(uint32_t)MP_GATE_SLEEPERS)) {
                mp__store32(gate + MP_GATE_QUIET, 0);
                mp__wake(gate, n);
                return;
            }
        } else if ((w & MP_GATE_FENCE_REQUESTED) && quiet >= MP_QUIET_LIMIT) {
            uint32_t next = (w + MP_GATE_ONE_WAKE) & ~(uint32_t)(MP_GATE_FENCE_REQUESTED | MP_GATE_FENCE_DONE);
            if (mp__cas32(gate, w, next)) {
                mp__store32(gate + MP_GATE_QUIET, 0);
                return;
            }
        } else {
            return;
        }
    }
}

/* mp__pass wakes n sleepers, whether or not the gate says that there is one. */
static inline void mp__pass(uint8_t *gate, int n)
{
    mp__add32(gate, MP_GATE_ONE_WAKE);
    mp__wake(gate, n);
}

/* mp__arm says that a sleeper may be at the gate, and returns the word to sleep on. */
static inline uint32_t mp__arm(uint8_t *gate)
{
    const uint32_t bits = MP_GATE_SLEEPERS | (MP__X86 ? MP_GATE_FENCE_REQUESTED : 0);
    for (;;) {
        uint32_t w = mp__load32(gate);
        if ((w & bits) == bits || mp__cas32(gate, w, w | bits)) {
            if (!MP__X86)
                atomic_thread_fence(memory_order_seq_cst);
            return w | bits;
        }
    }
}

/* mp__fence makes sure that there is a fence between publications and their publishers' loads of
 * the armed gate. It returns 0 if the kernel has none. */
static inline int mp__fence(uint8_t *gate, uint32_t *armed)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (*armed & MP_GATE_FENCE_DONE)
        return 1;
    if (!mp__membarrier())
        return 0;
    if ((*armed & MP_GATE_FENCE_REQUESTED) && mp__cas32(gate, *armed, *armed | MP_GATE_FENCE_DONE))
        *armed |= MP_GATE_FENCE_DONE;
    return 1;
}

/* ---- waiting ---- */

static inline int64_t mp__deadline(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : mp__now() + (int64_t)timeout_ms * 1000000;
}

/* A try returns 1 when the wait is over, 0 when it goes on, or an error. */
typedef int (*mp__try)(void *);

/* mp__spin tries for some 20 microseconds. A spin that finds nothing makes the next ones be skipped:
 * spinning pays only if the answer comes from another CPU. */
static inline int mp__spin(mp_side *side, mp__try attempt, void *arg)
{
    int i, r;
    if (side->skip > 0) {
        side->skip--;
        return 0;
    }
    for (i = 0; i < 400; i++) {
        mp__pause();
        if (i % 4 == 0 && (r = attempt(arg)) != 0) {
            side->skips = 0;
            return r;
        }
    }
    side->skips = side->skips < 512 ? 2 * side->skips + 1 : 1023;
    side->skip = side->skips;
    return 0;
}

/* mp__yield yields the CPU up to 16 times, and tries after each: the peer may be waiting for this CPU. A
 * wait whose yields find nothing, or take longer than 200 microseconds, makes the next ones sleep without
 * a yield. Eight that find something in time make up for one. */
static inline int mp__yield(mp_side *side, mp__try attempt, void *arg)
{
    int64_t begin, took = 0;
    int i, r = 0;
    if (side->yield_skip > 0) {
        side->yield_skip--;
        return 0;
    }
    begin = mp__now();
    for (i = 0; i < 16 && r == 0 && took <= 200000; i++) {
        sched_yield();
        r = attempt(arg);
        took = mp__now() - begin;
    }
    if (r != 0 && took <= 200000) {
        if (side->yield_debt > 0)
            side->yield_debt--;
        return r;
    }
    side->yield_debt = side->yield_debt < 72 ? side->yield_debt + 8 : 80;
    side->yield_skip = 1u << side->yield_debt / 8;
    return r;
}

/* mp__awake tries without a sleep, as long as that has lately paid. */
static inline int mp__awake(mp_side *side, mp__try attempt, void *arg)
{
    int r = mp__spin(side, attempt, arg);
    return r != 0 ? r : mp__yield(side, attempt, arg);
}

/* mp__await tries until the try is over or the deadline is reached. It sleeps at the gate between
 * the tries; if armed is not NULL it sleeps on the plain word gate while that is *armed. *woken says
 * whether it may have consumed a wake. */
static inline int mp__await(mp_segment *s, uint8_t *gate, const uint32_t *plain, mp__try attempt, void *arg,
                            int64_t deadline, int *woken)
{
    const int64_t ms = 1000000;
    int64_t slice = 50 * ms;
    *woken = 0;
    for (;;) {
        uint32_t armed, seen = mp__load32(mp__epoch(s));
        int64_t now, rest;
        int fenced = 1, r;
        if (plain != NULL) {
            armed = *plain;
        } else {
            armed = mp__arm(gate);
            fenced = mp__fence(gate, &armed);
        }
        if ((r = attempt(arg)) != 0)
            return r < 0 ? r : MP_OK;
        now = mp__now();
        if (now >= deadline)
            return MP_TIMEOUT;
        rest = deadline - now;
        if (rest > slice)
            rest = slice;
        if (!fenced && rest > 10 * ms)
            rest = 10 * ms;
        mp__sleep(gate, armed, mp__epoch(s), seen, rest);
        *woken = 1;
        if (mp__now() - s->looked >= slice)
            mp__look(s);
        if (slice < 200 * ms)
            slice *= 2;
    }
}

/* ---- the robust lock: see the comment of package robust ---- */

typedef struct mp__lock_wait {
    mp_segment *segment;
    uint8_t *word;
    uint64_t handed; /* the hand-over last seen, with the number of the gate's wakes */
    int64_t since;
} mp__lock_wait;

static inline int mp__lock_try(void *arg)
{
    mp__lock_wait *l = arg;
    const mp_segment *s = l->segment;
    for (;;) {
        uint64_t w = mp__load64(l->word);
        uint32_t low = (uint32_t)w, owner = low >> 1;
        int take = owner == 0;
        if (!take && mp__dead(s, owner)) {
            if ((uint32_t)mp__load64(l->word) != low)
                continue;
            take = 1;
        } else if (!take && (low & MP_LOCK_GRANTED)) { /* an heir that does not acknowledge may be stopped */
            uint64_t now = (uint64_t)(mp__load32(l->word + MP_LOCK_GATE) / MP_GATE_ONE_WAKE) << 32 | low;
            if (now != l->handed) {
                l->handed = now;
                l->since = mp__now();
            } else {
                take = mp__now() - l->since >= (int64_t)MP_GRACE_MS * 1000000;
            }
        }
        if (!take)
            return 0;
        if (mp__cas64(l->word, w, (w & ~(uint64_t)UINT32_MAX) | s->me << 1))
            return 1;
    }
}

/* mp__lock takes the lock, also from a dead owner. */
static inline int mp__lock(mp_segment *s, uint8_t *word, int64_t deadline)
{
    mp__lock_wait l;
    int r, woken;
    memset(&l, 0, sizeof l);
    l.segment = s;
    l.word = word;
    if ((r = mp__lock_try(&l)) == 0) {
        r = mp__await(s, word + MP_LOCK_GATE, NULL, mp__lock_try, &l, deadline, &woken);
        if (r != MP_OK && woken && !(mp__load64(word) & MP_LOCK_GRANTED))
            mp__pass(word + MP_LOCK_GATE, 1);
    }
    return r < 0 ? r : MP_OK;
}

static inline void mp__unlock(const mp_segment *s, uint8_t *word)
{
    if (mp__load64(word) == (uint64_t)s->me << 1) {
        mp__store64(word, 0);
        mp__notify(s, word + MP_LOCK_GATE, 1);
        return;
    }
    for (;;) {
        uint64_t w = mp__load64(word), next = 0;
        uint32_t heir = (uint32_t)(w >> MP_LOCK_HEIR_SHIFT);
        if ((uint32_t)w != s->me << 1)
            return; /* not held: the memory is corrupt */
        if (heir != 0 && !mp__dead(s, heir))
            next = (uint64_t)heir << 1 | MP_LOCK_GRANTED;
        if (mp__cas64(word, w, next)) {
            mp__pass(word + MP_LOCK_GATE, INT_MAX);
            return;
        }
    }
}

/* ---- attaching ---- */

static inline uint64_t mp__u64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint32_t mp__u32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

/* mp__adopt attaches to the segment of descriptor fd, as the party that the parent has claimed. */
static inline int mp__adopt(mp_segment *s, int fd)
{
    static const uint8_t magic[8] = { 'm', 'p', ' ', 's', 'h', 'm', 0xF0, '\n' };
    uint8_t h[MP_HEADER_SIZE];
    uint64_t sum = 14695981039346656037u, namespace = 0;
    uint32_t parties, line;
    struct stat st;
    void *memory;
    off_t me;
    int i;

    memset(s, 0, sizeof *s);
    s->fd = fd;
    if (fstat(fd, &st) != 0 || pread(fd, h, sizeof h, 0) != (ssize_t)sizeof h)
        return MP_NOT_ATTACHED;
    if (memcmp(h, magic, sizeof magic) != 0 || mp__u32(h + 12) != MP_BYTE_ORDER)
        return MP_CORRUPT;
    if (mp__u32(h + 8) != MP_LAYOUT_VERSION)
        return MP_VERSION;
    for (i = 0; i < 48; i++)
        sum = (sum ^ h[i]) * 1099511628211u;
    parties = mp__u32(h + 24);
    s->entries = mp__u32(h + 28);
    s->total = mp__u64(h + 16);
    if (sum != mp__u64(h + 48) || parties < 1 || parties > MP_MAX_PARTIES || s->entries < 1 ||
        s->entries > MP_MAX_OBJECTS || (uint64_t)st.st_size < s->total)
        return MP_CORRUPT;
    s->lines = parties + 1;
    s->directory = MP_PARTIES_OFFSET + (uint64_t)MP_LINE_SIZE * s->lines;
    s->base = s->directory + (uint64_t)MP_ENTRY_SIZE * s->entries;
    if (s->base > s->total)
        return MP_CORRUPT;
    memcpy(s->id, h + 32, sizeof s->id);

    /* The party is at the position of the file, which has no other use. Only one process may be it:
     * the first one moves the position away. */
    me = lseek(fd, 0, SEEK_CUR);
    line = (uint32_t)me & ((1u << MP_LINE_BITS) - 1);
    if (me <= 0 || me > INT32_MAX || line == 0 || line >= s->lines || lseek(fd, 0, SEEK_SET) != 0)
        return MP_NOT_ATTACHED;
    s->me = (uint32_t)me;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return MP_SYSTEM;
    if (s->total > SIZE_MAX)
        return MP_TOO_LARGE;
    memory = mmap(NULL, (size_t)s->total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return MP_SYSTEM;
    s->memory = memory;
    madvise(memory, (size_t)s->total, 16 /* MADV_DONTDUMP */);
    madvise(memory, (size_t)s->total, 10 /* MADV_DONTFORK */);
    if (mp__dead(s, s->me) || !mp__lock_line(s, F_OFD_SETLK, F_WRLCK, line, NULL)) {
        munmap(memory, (size_t)s->total);
        return MP_NOT_ATTACHED;
    }
    s->registered = syscall(SYS_membarrier, MP__SYS_MEMBARRIER_REGISTER, 0, 0) == 0;
    if (stat("/proc/self/ns/pid", &st) == 0)
        namespace = (uint64_t)st.st_ino;
    mp__store64(mp__line(s, line) + MP_LINE_NAMESPACE, namespace);
    mp__store32(mp__line(s, line) + MP_LINE_PID, (uint32_t)getpid());
    mp__move(s); /* others watch this process now, and not the one that has started it */
    return MP_OK;
}

/* mp_detach detaches this program from all segments. The others treat it like the program's end.
 * Nothing of the segments may be used any more. */
static inline void mp_detach(mp_context *mp)
{
    int i;
    for (i = 0; i < mp->count; i++) {
        mp_segment *s = &mp->segments[i];
        if (s->fd < 0)
            continue;
        mp__store32(mp__line(s, s->me & ((1u << MP_LINE_BITS) - 1)) + MP_LINE_WORD, s->me << 1);
        mp__add32(s->memory + MP_DEATHS, 1);
        mp__move(s);
        munmap(s->memory, (size_t)s->total);
        close(s->fd);
        s->fd = -1;
    }
    mp->count = 0;
}

/* mp_after_fork makes a child after fork, which is no party, give up the descriptors of its
 * parent's parties. */
static inline void mp_after_fork(mp_context *mp)
{
    int i;
    for (i = 0; i < mp->count; i++)
        close(mp->segments[i].fd);
    mp->count = 0;
}

/* mp_attach attaches this program to the segments that it was passed. It may be called once. If
 * nothing but blocks and files was passed, there is no segment, and it returns MP_OK. It returns
 * MP_NOT_ATTACHED, MP_CORRUPT, MP_VERSION or MP_SYSTEM. */
static inline int mp_attach(mp_context *mp)
{
    const char *list = getenv("MP_SEGMENT_FDS");
    mp->count = 0;
    if (list == NULL)
        return MP_NOT_ATTACHED;
    while (*list != '\0') {
        char *end;
        long fd = strtol(list, &end, 10);
        int err;
        if (end == list || fd < 0 || fd > INT_MAX || mp->count == MP_MAX_SEGMENTS)
            err = MP_NOT_ATTACHED;
        else
            err = mp__adopt(&mp->segments[mp->count], (int)fd);
        if (err != MP_OK) {
            int saved = errno;
            mp_detach(mp);
            errno = saved;
            return err;
        }
        mp->count++;
        list = *end == ',' ? end + 1 : end;
    }
    return MP_OK;
}

/* ---- opening objects ---- */

/* mp__passed returns what was passed under the name, NULL if nothing was. */
static inline const char *mp__passed(const char *name)
{
    char key[256];
    int n = snprintf(key, sizeof key, "MP_%s", name);
    if (n < 0 || (size_t)n >= sizeof key)
        return NULL;
    return getenv(key);
}

/* mp__hold makes this program a holder of a role of an entry. */
static inline void mp__hold(const mp_segment *s, uint32_t entry, uint32_t role)
{
    uint32_t line = s->me & ((1u << MP_LINE_BITS) - 1);
    uint8_t *word = s->memory + s->directory + (uint64_t)MP_ENTRY_SIZE * entry + MP_ENTRY_HOLDS +
                    4 * (MP_HOLD_WORDS * role + line / 32);
    atomic_fetch_or((_Atomic uint32_t *)(void *)word, (uint32_t)1 << line % 32);
}

static inline void mp__drop(const mp_segment *s, uint32_t entry, uint32_t role)
{
    uint32_t line = s->me & ((1u << MP_LINE_BITS) - 1);
    uint8_t *word = s->memory + s->directory + (uint64_t)MP_ENTRY_SIZE * entry + MP_ENTRY_HOLDS +
                    4 * (MP_HOLD_WORDS * role + line / 32);
    atomic_fetch_and((_Atomic uint32_t *)(void *)word, ~((uint32_t)1 << line % 32));
}

/* mp__held reports whether a living party holds the role. It reads a bit again after it has found
 * the party alive: the bit may have been that of a dead party, whose line a new one has taken. */
static inline int mp__held(const mp_segment *s, uint32_t entry, uint32_t role)
{
    uint8_t *words = s->memory + s->directory + (uint64_t)MP_ENTRY_SIZE * entry + MP_ENTRY_HOLDS + 4 * MP_HOLD_WORDS * role;
    uint32_t i, bit;
    for (i = 0; i < MP_HOLD_WORDS; i++) {
        uint32_t w = mp__load32(words + 4 * i);
        for (bit = 0; w >> bit != 0; bit++) {
            if ((w >> bit & 1) && mp__alive_line(s, 32 * i + bit) && (mp__load32(words + 4 * i) >> bit & 1))
                return 1;
            if (bit == 31)
                break;
        }
    }
    return 0;
}

/* mp__open_entry opens an object. serial is that of a handle, or 0 for any. */
static inline int mp__open_entry(mp_segment *s, uint32_t entry, uint32_t serial, uint32_t kind, uint32_t role, mp_object *o)
{
    uint8_t *e = s->memory + s->directory + (uint64_t)MP_ENTRY_SIZE * entry;
    uint32_t used = mp__load32(s->memory + MP_DIRECTORY_MARK);
    uint64_t offset, size;
    if (entry >= s->entries || entry >= used || role > 2)
        return MP_NOT_FOUND;
    if (serial == 0)
        serial = mp__load32(e + MP_ENTRY_SERIAL);
    mp__hold(s, entry, 0); /* from here on the memory is not given to another object */
    if (mp__load32(e + MP_ENTRY_STATE) != MP_STATE_READY || mp__load32(e + MP_ENTRY_SERIAL) != serial)
        return MP_NOT_FOUND;
    if (mp__load32(e + MP_ENTRY_KIND) != kind)
        return MP_MISMATCH;
    offset = mp__load64(e + MP_ENTRY_OFFSET);
    size = mp__load64(e + MP_ENTRY_BYTES);
    if (offset < s->base || offset % 128 != 0 || offset > s->total || size > s->total - offset)
        return MP_CORRUPT;
    if (role != 0) {
        mp__hold(s, entry, role);
        mp__move(s);
    }
    o->segment = s;
    o->kind = kind;
    o->role = role;
    o->entry = entry;
    o->memory = s->memory + offset;
    o->size = size;
    return MP_OK;
}

static inline int mp__hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* mp__open opens the object of that kind that ref names. role is that of a pipe's end, MP_ANY_END
 * for the one of the handle. */
static inline int mp__open(mp_context *mp, const char *ref, uint32_t kind, uint32_t role, mp_object *o)
{
    const char *text = strncmp(ref, "mp1-", 4) == 0 ? ref : mp__passed(ref);
    int i, k;
    uint32_t n;
    if (text != NULL) {
        uint8_t b[MP_HANDLE_BYTES];
        uint32_t v[4]; /* kind, role, entry, serial */
        if (strlen(text) != 4 + 2 * sizeof b || strncmp(text, "mp1-", 4) != 0)
            return MP_INVALID;
        for (i = 0; i < MP_HANDLE_BYTES; i++) {
            int high = mp__hex(text[4 + 2 * i]), low = mp__hex(text[5 + 2 * i]);
            if (high < 0 || low < 0)
                return MP_INVALID;
            b[i] = (uint8_t)(high << 4 | low);
        }
        for (i = 0; i < 4; i++) /* little endian on every machine */
            v[i] = (uint32_t)b[16 + 4 * i] | (uint32_t)b[17 + 4 * i] << 8 | (uint32_t)b[18 + 4 * i] << 16 | (uint32_t)b[19 + 4 * i] << 24;
        if (v[0] != kind)
            return MP_MISMATCH;
        for (i = 0; i < mp->count; i++)
            if (memcmp(mp->segments[i].id, b, 16) == 0)
                return mp__open_entry(&mp->segments[i], v[2], v[3], kind, role != 0 ? role : v[1], o);
        return MP_NOT_ATTACHED;
    }
    for (i = 0; i < mp->count; i++) {
        mp_segment *s = &mp->segments[i];
        uint32_t used = mp__load32(s->memory + MP_DIRECTORY_MARK);
        for (n = 0; n < used && n < s->entries; n++) {
            const uint8_t *e = s->memory + s->directory + (uint64_t)MP_ENTRY_SIZE * n;
            uint32_t serial = mp__load32(e + MP_ENTRY_SERIAL), length = mp__load32(e + MP_ENTRY_NAME_LENGTH);
            if (mp__load32(e + MP_ENTRY_STATE) != MP_STATE_READY || length != strlen(ref) || length > MP_MAX_NAME || length == 0)
                continue;
            if (memcmp(e + MP_ENTRY_NAME, ref, length) != 0)
                continue;
            k = mp__open_entry(s, n, serial, kind, role, o);
            if (k != MP_NOT_FOUND)
                return k;
        }
    }
    return MP_NOT_FOUND;
}

/* ---- blocks ---- */

/* mp_block_open maps the block that was passed under the name. It needs no attachment. It returns
 * MP_NOT_FOUND, MP_INVALID or MP_SYSTEM. */
static inline int mp_block_open(const char *name, mp_block *b)
{
    const char *text = mp__passed(name);
    int fd;
    unsigned long long size;
    if (text == NULL)
        return MP_NOT_FOUND;
    if (sscanf(text, "block-%d-%llu", &fd, &size) != 2 || size == 0 || size > SIZE_MAX)
        return MP_INVALID;
    b->data = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (b->data == MAP_FAILED)
        return MP_SYSTEM;
    b->fd = fd;
    b->size = (size_t)size;
    return MP_OK;
}

/* mp_block_close unmaps the block. */
static inline void mp_block_close(mp_block *b)
{
    munmap(b->data, b->size);
    b->data = NULL;
}

/* ---- arrays and byte strings ---- */

/* mp_array_open opens an array whose elements have size bytes. The elements are plain memory: no
 * function locks them. It returns MP_NOT_FOUND, MP_MISMATCH, MP_VERSION, MP_CORRUPT, MP_INVALID or
 * MP_NOT_ATTACHED. */
static inline int mp__array_open(mp_context *mp, const char *ref, uint32_t kind, size_t size, mp_array *a)
{
    uint64_t length;
    int err = mp__open(mp, ref, kind, 0, &a->object);
    const uint8_t *m;
    if (err != MP_OK)
        return err;
    m = a->object.memory;
    if (a->object.size < MP_ARRAY_DATA || size == 0)
        return MP_CORRUPT;
    if (mp__load32(m) != MP_ARRAY_FORMAT)
        return MP_VERSION;
    if (mp__load64(m + MP_ARRAY_SIZE_OFFSET) != size)
        return MP_MISMATCH;
    length = mp__load64(m + MP_ARRAY_LENGTH_OFFSET);
    if (length > (a->object.size - MP_ARRAY_DATA) / size)
        return MP_CORRUPT;
    a->data = a->object.memory + MP_ARRAY_DATA;
    a->length = (size_t)length;
    a->size = size;
    return MP_OK;
}
static inline int mp_array_open(mp_context *mp, const char *ref, size_t size, mp_array *a)
{
    return mp__array_open(mp, ref, MP_KIND_ARRAY, size, a);
}

/* mp_bytes_open is mp_array_open for a byte string: an array of chars. */
static inline int mp_bytes_open(mp_context *mp, const char *ref, mp_array *a)
{
    return mp__array_open(mp, ref, MP_KIND_BYTES, 1, a);
}

/* ---- values: see docs/design/values.md ---- */

/* mp_value_open opens a value of size bytes. It returns the errors of mp_array_open. */
static inline int mp_value_open(mp_context *mp, const char *ref, size_t size, mp_value *v)
{
    uint32_t copies;
    uint64_t stride = (size + 127) / 128 * 128;
    int err = mp__open(mp, ref, MP_KIND_VALUE, 0, &v->object);
    const uint8_t *m;
    if (err != MP_OK)
        return err;
    m = v->object.memory;
    if (v->object.size < MP_VALUE_COPIES_BASE || size == 0)
        return MP_CORRUPT;
    if (mp__load32(m) != MP_VALUE_FORMAT)
        return MP_VERSION;
    if (mp__load64(m + MP_VALUE_SIZE_OFFSET) != size)
        return MP_MISMATCH;
    copies = mp__load32(m + MP_VALUE_COPIES_OFFSET);
    v->size = size;
    v->stride = size <= 8 ? 0 : stride;
    if (copies != (size <= 8 ? 0 : MP_VALUE_COPIES) || mp__load64(m + MP_VALUE_STRIDE_OFFSET) != v->stride ||
        (v->object.size - MP_VALUE_COPIES_BASE) / MP_VALUE_COPIES < v->stride)
        return MP_CORRUPT;
    return MP_OK;
}

/* mp_value_load copies the value to to, which has the value's size. It does not block, and what it
 * copies is never torn. */
static inline void mp_value_load(const mp_value *v, void *to)
{
    const uint8_t *m = v->object.memory, *word = m + MP_VALUE_WORD;
    if (v->stride == 0) {
        if (v->size <= 4) {
            uint32_t w = mp__load32(word);
            memcpy(to, &w, v->size);
        } else {
            uint64_t w = mp__load64(word);
            memcpy(to, &w, v->size);
        }
        return;
    }
    for (;;) {
        uint64_t n = mp__load64(word);
        memcpy(to, m + MP_VALUE_COPIES_BASE + n % MP_VALUE_COPIES * v->stride, v->size);
        atomic_thread_fence(memory_order_acquire);
        if (mp__load64(word) - n < MP_VALUE_COPIES - 1)
            return;
    }
}

/* mp_value_store publishes the value at from, which has the value's size, and wakes the watchers. It
 * blocks while another process publishes a value of more than 8 bytes. The steps are those of
 * value/copies.go: if the program is killed before the number moves, the value is the old one. It
 * returns MP_TIMEOUT. */
static inline int mp_value_store(mp_value *v, const void *from, int timeout_ms)
{
    mp_segment *s = v->object.segment;
    uint8_t *m = v->object.memory, *word = m + MP_VALUE_WORD;
    if (v->stride == 0) {
        if (v->size <= 4) {
            uint32_t w = 0;
            memcpy(&w, from, v->size);
            mp__store32(word, w);
        } else {
            uint64_t w = 0;
            memcpy(&w, from, v->size);
            mp__store64(word, w);
        }
    } else {
        uint64_t n;
        int err = mp__lock(s, m + MP_VALUE_WRITER + MP_GUARD_LOCK, mp__deadline(timeout_ms));
        if (err != MP_OK)
            return err;
        n = mp__load64(word) + 1;
        atomic_thread_fence(memory_order_release);
        memcpy(m + MP_VALUE_COPIES_BASE + n % MP_VALUE_COPIES * v->stride, from, v->size);
        mp__store64(word, n);
        mp__unlock(s, m + MP_VALUE_WRITER + MP_GUARD_LOCK);
    }
    mp__notify(s, m + MP_VALUE_GATE, INT_MAX);
    return MP_OK;
}

/* mp_value_word returns a value of up to 8 bytes as an atomic word, for operations such as
 * atomic_fetch_add on an _Atomic uint64_t. mp_value_wake wakes the watchers afterwards. */
static inline void *mp_value_word(const mp_value *v) { return v->stride == 0 ? v->object.memory + MP_VALUE_WORD : NULL; }
static inline void mp_value_wake(const mp_value *v) { mp__notify(v->object.segment, v->object.memory + MP_VALUE_GATE, INT_MAX); }

/* ---- pipes: see docs/design/pipe.md ---- */

/* mp_pipe_open opens one end of a pipe: MP_END_A or MP_END_B, or MP_ANY_END for the end that was
 * passed. This program holds the end from then on, or has held it since it was started. The
 * mp_pipe must not be copied. It returns the errors of mp_array_open. */
static inline int mp_pipe_open(mp_context *mp, const char *ref, int end, mp_pipe *p)
{
    uint8_t *m, *a, *b;
    uint64_t fingerprint, rings;
    uint32_t role;
    int err;
    memset(p, 0, sizeof *p);
    if (end < 0 || end > MP_END_B)
        return MP_INVALID;
    if ((err = mp__open(mp, ref, MP_KIND_PIPE, (uint32_t)end, &p->object)) != MP_OK)
        return err;
    role = p->object.role;
    fingerprint = mp__load64(p->object.segment->memory + p->object.segment->directory +
                             (uint64_t)MP_ENTRY_SIZE * p->object.entry + MP_ENTRY_PRINT);
    if (fingerprint != MP_PIPE_FINGERPRINT && fingerprint != MP_SIMPLEX_FINGERPRINT)
        return MP_VERSION;
    rings = fingerprint == MP_SIMPLEX_FINGERPRINT ? 1 : 2;
    if (role != MP_END_A && role != MP_END_B)
        return MP_INVALID;
    m = p->object.memory;
    if (p->object.size < MP_PIPE_RINGS + rings * MP_MIN_RING)
        return MP_CORRUPT;
    p->size = mp__load64(m + MP_PIPE_SIZE);
    if (p->size < MP_MIN_RING || (p->size & (p->size - 1)) != 0 || p->size > (p->object.size - MP_PIPE_RINGS) / rings)
        return MP_CORRUPT;
    p->limit = p->size / 2 - 2 * MP_RECORD_HEAD;
    p->piece_limit = p->size / MP_PIECES_IN_RING - 2 * MP_RECORD_HEAD;
    if (p->piece_limit > MP_MAX_PIECE)
        p->piece_limit = MP_MAX_PIECE;
    a = m + MP_STREAM_A_TO_B;
    b = m + MP_STREAM_B_TO_A;
    p->out.words = role == MP_END_A ? a : b;
    p->in.words = role == MP_END_A ? b : a;
    if (role == MP_END_A || rings == 2)
        p->out.ring = m + MP_PIPE_RINGS + (role == MP_END_A ? 0 : p->size);
    if (role == MP_END_B || rings == 2)
        p->in.ring = m + MP_PIPE_RINGS + (role == MP_END_A ? p->size : 0);
    p->out.side.words = p->out.words + MP_STREAM_TX;
    p->in.side.words = p->in.words + MP_STREAM_RX;
    p->other = MP_END_A + MP_END_B - role;
    p->peer_epoch = mp__load32(mp__epoch(p->object.segment)) - 1;
    return MP_OK;
}

/* mp__peer_gone reports whether no process holds the other end, as far as deaths are announced. The
 * holders change only when the epoch moves. A scan that misses both the old and the new holder of an
 * end that is handed over sees that the epoch has moved, and is repeated. */
static inline int mp__peer_gone(mp_pipe *p)
{
    const mp_segment *s = p->object.segment;
    for (;;) {
        uint32_t epoch = mp__load32(mp__epoch(s));
        if (epoch == p->peer_epoch)
            return 0;
        if (mp__held(s, p->object.entry, p->other)) {
            p->peer_epoch = epoch;
            return 0;
        }
        if (mp__load32(mp__epoch(s)) == epoch)
            return 1;
    }
}

typedef struct mp__inside_wait {
    const mp_segment *segment;
    const uint8_t *inside;
    uint32_t owner;
} mp__inside_wait;

static inline int mp__inside_try(void *arg)
{
    mp__inside_wait *w = arg;
    return mp__load32(w->inside) == 0 || mp__dead(w->segment, w->owner);
}

/* mp__leave stores 0 to inside, and wakes a process that has revoked this program's bias. */
static inline void mp__leave(const mp_segment *s, mp_side *side)
{
    mp__store32(side->words + MP_SIDE_INSIDE, 0);
    mp__order(s);
    if (mp__load32(side->words + MP_SIDE_BIAS) != s->me << 1) {
        side->has_bias = 0;
        mp__wake(side->words + MP_SIDE_INSIDE, INT_MAX);
    }
}

/* mp__enter acquires a side: by the bias if this program has it or can get it, else by the lock. See
 * ring/biased_lock.go. */
static inline int mp__enter(mp_segment *s, mp_side *side, int64_t deadline)
{
    uint8_t *bias = side->words + MP_SIDE_BIAS, *inside = side->words + MP_SIDE_INSIDE;
    const uint32_t mine = s->me << 1, one = 1;
    mp__inside_wait w;
    uint32_t b, owner;
    int err, woken;
    for (;;) {
        if (side->has_bias) {
            mp__store32(inside, 1);
            mp__order(s);
            if (mp__load32(bias) == mine) {
                side->locked = 0;
                return MP_OK;
            }
            mp__leave(s, side);
        }
        b = mp__load32(bias);
        owner = b >> 1;
        if (b & MP_SIDE_REVOKED)
            break;
        if (b == 0 || (b != mine && mp__dead(s, owner))) {
            if (mp__cas32(bias, b, mine)) {
                mp__store32(inside, 0); /* a dead owner may have left 1 */
                side->has_bias = 1;
            }
        } else if (mp__cas32(bias, b, b | MP_SIDE_REVOKED)) {
            break;
        }
    }
    if (!side->fenced) {
        atomic_thread_fence(memory_order_seq_cst);
        if (!mp__membarrier()) {
            struct timespec t = { 0, 10000000 }; /* far longer than a store stays in a store buffer */
            nanosleep(&t, NULL);
        }
        side->fenced = 1;
    }
    if ((err = mp__lock(s, side->words + MP_SIDE_LOCK, deadline)) != MP_OK)
        return err;
    w.segment = s;
    w.inside = inside;
    w.owner = owner;
    if (!mp__inside_try(&w)) {
        err = mp__await(s, inside, &one, mp__inside_try, &w, deadline, &woken);
        if (err != MP_OK) {
            mp__unlock(s, side->words + MP_SIDE_LOCK);
            return err;
        }
    }
    side->locked = 1;
    return MP_OK;
}

static inline void mp__exit(const mp_segment *s, mp_side *side)
{
    if (side->locked)
        mp__unlock(s, side->words + MP_SIDE_LOCK);
    else
        mp__leave(s, side);
}

static inline uint64_t mp__record_size(uint64_t n) { return MP_RECORD_HEAD + ((n + 7) & ~(uint64_t)7); }
static inline int mp__nothing(uint64_t header) { return header == 0 || header == MP_PIECE_AGAIN; }
static inline uint64_t mp__piece_length(uint64_t header)
{
    return (header & ~((uint64_t)1 << MP_PIECE_CLAIMED_SHIFT)) >> MP_PIECE_SHIFT;
}
static inline int mp__part(uint64_t header) { return (int)(header >> MP_PART_SHIFT & MP_PART_MASK); }

/* mp__extent returns how many bytes of the ring the record at offset at takes, or MP_CORRUPT. */
static inline int64_t mp__extent(const mp_pipe *p, uint64_t at, uint64_t header)
{
    uint64_t n = header >> MP_RECORD_SHIFT, rest = p->size - at;
    switch (header & MP_RECORD_MASK) {
    case MP_RECORD_PIECE:
        n = mp__piece_length(header);
        /* fall through */
    case MP_RECORD_MESSAGE:
        return n <= rest - MP_RECORD_HEAD ? (int64_t)mp__record_size(n) : MP_CORRUPT;
    case MP_RECORD_FILLER:
        return n == rest ? (int64_t)n : MP_CORRUPT;
    }
    return MP_CORRUPT;
}

/* The results of steps beside MP_OK and the errors. */
enum { MP__WAIT = 1, MP__DROPPED = 2, MP__LONG = 3 };

/* ---- sending ----
 *
 * The steps of Send and Receive, and what a kill leaves at each, are those of ring/stream_unsafe.go: a
 * message is sent when its header is stored, and received when head has moved. Those of messages that
 * go through the ring in pieces are those of ring/piece.go. */

/* mp__space returns MP_OK if need bytes from tail on are free, and the header after them. */
static inline int mp__space(const mp_pipe *p, uint64_t tail, uint64_t need)
{
    uint64_t used = tail - mp__load64(p->out.words + MP_STREAM_HEAD);
    if (used > p->size)
        return MP_CORRUPT;
    return need + MP_RECORD_HEAD > p->size - used ? MP__WAIT : MP_OK;
}

/* mp__repair moves tail on to the first header that says "nothing yet". A sender that was killed may
 * have left it behind. */
static inline int mp__repair(const mp_pipe *p, uint64_t *tail)
{
    uint8_t *words = p->out.words;
    uint64_t mask = p->size - 1, first;
    first = *tail = mp__load64(words + MP_STREAM_TAIL) & ~(uint64_t)7;
    for (;;) {
        uint64_t h = mp__load64(p->out.ring + (*tail & mask));
        int64_t size;
        if (mp__nothing(h))
            break;
        if ((size = mp__extent(p, *tail & mask, h)) < 0)
            return (int)size;
        *tail += (uint64_t)size;
        if (*tail - first > p->size)
            return MP_CORRUPT;
    }
    if (*tail != first)
        mp__store64(words + MP_STREAM_TAIL, *tail);
    return MP_OK;
}

/* mp__reserve finds space for a message of n bytes. It returns MP__WAIT if the ring is full. */
static inline int mp__reserve(mp_pipe *p, size_t n, uint64_t *at)
{
    uint8_t *words = p->out.words, *ring = p->out.ring;
    uint64_t need = mp__record_size(n);
    for (;;) {
        uint64_t tail, offset, rest;
        int err = mp__repair(p, &tail);
        if (err != MP_OK)
            return err;
        offset = tail & (p->size - 1);
        if (offset + need <= p->size) {
            if ((err = mp__space(p, tail, need)) != MP_OK)
                return err;
            mp__store64(ring + ((offset + need) & (p->size - 1)), 0); /* step 1 of Send */
            *at = offset;
            return MP_OK;
        }
        rest = p->size - offset;
        if ((err = mp__space(p, tail, rest)) != MP_OK)
            return err;
        mp__store64(ring, 0);
        mp__store64(ring + offset, rest << MP_RECORD_SHIFT | MP_RECORD_FILLER);
        mp__store64(words + MP_STREAM_TAIL, tail + rest);
    }
}

static inline int mp__send_once(mp_pipe *p, const void *data, size_t n, int64_t deadline)
{
    mp_segment *s = p->object.segment;
    uint8_t *words = p->out.words;
    uint64_t at;
    int err;
    if (mp__peer_gone(p))
        return MP_BROKEN_PIPE;
    if ((err = mp__enter(s, &p->out.side, deadline)) != MP_OK)
        return err;
    if ((err = mp__reserve(p, n, &at)) == MP_OK) {
        if (n > 0)
            memcpy(p->out.ring + at + MP_RECORD_HEAD, data, n); /* step 2 */
        mp__store64(p->out.ring + at, (uint64_t)n << MP_RECORD_SHIFT | MP_RECORD_MESSAGE); /* step 3: sent */
        mp__store64(words + MP_STREAM_TAIL, mp__load64(words + MP_STREAM_TAIL) + mp__record_size(n));
    }
    mp__exit(s, &p->out.side);
    if (err == MP_OK)
        mp__notify(s, words + MP_STREAM_READABLE, 1);
    return err;
}

/* An mp__transfer is a message on its way. */
typedef struct mp__transfer {
    mp_pipe *pipe;
    const uint8_t *data; /* what is sent */
    uint8_t *buf;        /* where it is received */
    size_t size;         /* of data or buf */
    size_t *n;
    int64_t deadline;
    uint64_t done, total;    /* of a message in pieces: bytes so far, and length */
    uint64_t start, header;  /* of its first piece, when it is sent */
    uint32_t from;           /* its sender */
} mp__transfer;

/* mp__result makes of a step's result that of an mp__try. */
static inline int mp__result(int err) { return err == MP__WAIT ? 0 : err == MP_OK ? 1 : err; }

static inline int mp__send_try(void *arg)
{
    mp__transfer *t = arg;
    return mp__result(mp__send_once(t->pipe, t->data, t->size, t->deadline));
}

/* mp__send_piece sends the next piece, or a filler, or begins again if the receiver wants that. */
static inline int mp__send_piece(mp__transfer *t)
{
    mp_pipe *p = t->pipe;
    uint8_t *words = p->out.words, *ring = p->out.ring;
    int first = t->done == 0, err, part = MP_PART_NEXT;
    uint64_t tail = mp__load64(words + MP_STREAM_TAIL) & ~(uint64_t)7, at = tail & (p->size - 1), to_end = p->size - at;
    uint64_t head = first ? MP_LONG_HEAD : 0, want = t->size - t->done + head, size, header;
    if (mp__peer_gone(p))
        return MP_BROKEN_PIPE;
    if (!first && mp__load64(ring + at) == MP_PIECE_AGAIN) {
        t->done = 0;
        return MP_OK;
    }
    if (want > p->piece_limit)
        want = p->piece_limit;
    if (MP_RECORD_HEAD + want > to_end && to_end < MP_RECORD_HEAD + MP_MIN_PIECE) {
        size = to_end;
        want = 0;
        header = size << MP_RECORD_SHIFT | MP_RECORD_FILLER;
    } else {
        if (MP_RECORD_HEAD + want > to_end)
            want = to_end - MP_RECORD_HEAD;
        size = mp__record_size(want);
        if (first)
            part = MP_PART_FIRST;
        else if (want == t->size - t->done)
            part = MP_PART_LAST;
        header = want << MP_PIECE_SHIFT | (uint64_t)part << MP_PART_SHIFT | MP_RECORD_PIECE;
    }
    if ((err = mp__space(p, tail, size + MP_RECORD_HEAD)) != MP_OK) /* and space for "aborted" */
        return err;
    mp__store64(ring + ((at + size) & (p->size - 1)), 0);
    if (want > 0) {
        if (first) {
            mp__store64(ring + at + MP_RECORD_HEAD, t->size);
            mp__store64(ring + at + MP_RECORD_HEAD + 8, p->object.segment->me);
            t->start = tail;
            t->header = header;
        }
        memcpy(ring + at + MP_RECORD_HEAD + head, t->data + t->done, want - head);
    }
    if (first) {
        mp__store64(ring + at, header);
    } else if (!mp__cas64(ring + at, 0, header)) {
        if (mp__load64(ring + at) != MP_PIECE_AGAIN)
            return MP_CORRUPT;
        t->done = 0;
        return MP_OK;
    }
    mp__store64(words + MP_STREAM_TAIL, tail + size);
    mp__notify(p->object.segment, words + MP_STREAM_READABLE, 1);
    if (want > 0)
        t->done += want - head;
    return MP_OK;
}

static inline int mp__send_piece_try(void *arg) { return mp__result(mp__send_piece(arg)); }

/* mp__abort takes the message back, or tells the receiver that no other piece follows. */
static inline void mp__abort(mp__transfer *t)
{
    mp_pipe *p = t->pipe;
    uint8_t *words = p->out.words, *ring = p->out.ring, *first;
    uint64_t tail, at;
    if (t->done == 0)
        return;
    tail = mp__load64(words + MP_STREAM_TAIL) & ~(uint64_t)7;
    first = ring + (t->start & (p->size - 1));
    if (tail - t->start <= p->size - 2 * MP_RECORD_HEAD && mp__load64(first) == t->header) {
        mp__store64(words + MP_STREAM_TAIL, t->start); /* if it is killed here, mp__repair walks on from there */
        if (mp__cas64(first, t->header, 0))
            return;
        mp__store64(words + MP_STREAM_TAIL, tail);
    }
    at = tail & (p->size - 1);
    mp__store64(ring + ((at + MP_RECORD_HEAD) & (p->size - 1)), 0);
    if (mp__cas64(ring + at, 0, MP_PIECE_ABORTED)) {
        mp__store64(words + MP_STREAM_TAIL, tail + MP_RECORD_HEAD);
        mp__notify(p->object.segment, words + MP_STREAM_READABLE, 1);
    }
}

/* mp__send_long sends a message in pieces. It owns the sending side up to the end. */
static inline int mp__send_long(mp__transfer *t)
{
    mp_pipe *p = t->pipe;
    mp_segment *s = p->object.segment;
    uint8_t *gate = p->out.words + MP_STREAM_WRITABLE;
    uint64_t tail;
    int err, woken;
    if (mp__peer_gone(p))
        return MP_BROKEN_PIPE;
    if ((err = mp__enter(s, &p->out.side, t->deadline)) != MP_OK)
        return err;
    err = mp__repair(p, &tail);
    while (err == MP_OK && t->done < t->size) {
        if ((err = mp__send_piece(t)) == MP__WAIT) {
            err = mp__await(s, gate, NULL, mp__send_piece_try, t, t->deadline, &woken);
            if (woken)
                mp__pass(gate, 1);
        }
    }
    if (err != MP_OK)
        mp__abort(t);
    mp__exit(s, &p->out.side);
    return err;
}

/* mp__poll is the end of a transfer with timeout 0. A program that only polls learns of deaths too. */
static inline int mp__poll(mp_segment *s, mp__try attempt, void *arg)
{
    int r;
    if (mp__now() - s->looked > 100 * 1000000)
        mp__look(s);
    r = attempt(arg);
    return r == 0 ? MP_TIMEOUT : r < 0 ? r : MP_OK;
}

/* mp_send sends a copy of n bytes. It blocks while the pipe is full, for timeout_ms milliseconds at
 * most, or without a limit with MP_FOREVER. With 0 it does not wait for space. A message may be empty,
 * and it may be longer than the ring: then it is sent in pieces, and mp_send blocks until the last
 * piece is in the ring. It returns MP_BROKEN_PIPE, MP_TIMEOUT, MP_WRONG_DIRECTION, MP_INVALID after
 * mp_pipe_close, or MP_CORRUPT. */
static inline int mp_send(mp_pipe *p, const void *data, size_t n, int timeout_ms)
{
    mp_segment *s = p->object.segment;
    mp__transfer t;
    uint8_t *gate = p->out.words + MP_STREAM_WRITABLE;
    int r, woken;
    if (p->closed)
        return MP_INVALID;
    if (p->out.ring == NULL)
        return MP_WRONG_DIRECTION;
    memset(&t, 0, sizeof t);
    t.pipe = p;
    t.data = data;
    t.size = n;
    t.deadline = mp__deadline(timeout_ms);
    if (n > p->limit)
        return mp__send_long(&t);
    r = mp__send_try(&t);
    if (r == 0 && timeout_ms == 0)
        return mp__poll(s, mp__send_try, &t);
    if (r == 0)
        r = mp__awake(&p->out.side, mp__send_try, &t);
    if (r == 0) {
        r = mp__await(s, gate, NULL, mp__send_try, &t, t.deadline, &woken);
        if (woken)
            mp__pass(gate, 1); /* there may be more space than this message took */
    }
    return r < 0 ? r : MP_OK;
}

/* ---- receiving ---- */

/* mp__free frees the size bytes at head, and wakes a sender. It returns MP_CORRUPT if no record can be
 * at head. */
static inline int mp__free(const mp_pipe *p, uint64_t head, uint64_t size)
{
    if ((int64_t)(mp__load64(p->in.words + MP_STREAM_TAIL) + p->size - head) < 0) /* a sender may be taking a message back */
        return MP_CORRUPT;
    mp__store64(p->in.words + MP_STREAM_HEAD, head + size);
    mp__notify(p->object.segment, p->in.words + MP_STREAM_WRITABLE, 1);
    return MP_OK;
}

/* mp__ask_again asks the sender of a message in pieces to begin again, unless there is a record at
 * offset at. It reports whether there is none. */
static inline int mp__ask_again(const mp_pipe *p, uint64_t at)
{
    return mp__cas64(p->in.ring + at, 0, MP_PIECE_AGAIN) || mp__load64(p->in.ring + at) == MP_PIECE_AGAIN;
}

/* mp__abandoned reports whether the last piece of the message whose first piece is at head was not
 * sent. The message is claimed, and its sender is dead. */
static inline int mp__abandoned(const mp_pipe *p, uint64_t head)
{
    uint64_t begin = head;
    while (head - begin <= p->size) {
        uint64_t at = head & (p->size - 1), h = mp__load64(p->in.ring + at), kind = h & MP_RECORD_MASK;
        int64_t size;
        if (mp__nothing(h))
            return 1;
        if ((size = mp__extent(p, at, h)) < 0)
            return 0; /* mp__front finds the same */
        if (kind != MP_RECORD_FILLER) {
            if (kind != MP_RECORD_PIECE || mp__part(h) == MP_PART_MASK || (mp__part(h) == MP_PART_FIRST && head != begin))
                return 1;
            if (mp__part(h) == MP_PART_LAST)
                return 0;
        }
        head += (uint64_t)size;
    }
    return 0;
}

/* mp__front finds the oldest message. It returns MP__WAIT if there is none, and MP__LONG if it comes in
 * pieces: then *n is the length of the first piece. It passes fillers, and pieces of a message whose
 * beginning is gone. If the sender of these may still be sending, it asks it to begin again. */
static inline int mp__front(mp_pipe *p, uint64_t *at, uint64_t *n)
{
    int orphans = 0, err;
    for (;;) {
        uint64_t head = mp__load64(p->in.words + MP_STREAM_HEAD) & ~(uint64_t)7, h;
        int64_t size;
        *at = head & (p->size - 1);
        h = mp__load64(p->in.ring + *at);
        if (mp__nothing(h)) {
            if (orphans && !mp__ask_again(p, *at))
                continue;
            return MP__WAIT;
        }
        if ((size = mp__extent(p, *at, h)) < 0)
            return (int)size;
        if ((h & MP_RECORD_MASK) == MP_RECORD_MESSAGE) {
            *n = h >> MP_RECORD_SHIFT;
            return MP_OK;
        }
        if ((h & MP_RECORD_MASK) == MP_RECORD_PIECE) {
            if (mp__part(h) == MP_PART_FIRST) {
                *n = mp__piece_length(h);
                if (*n < MP_LONG_HEAD)
                    return MP_CORRUPT;
                if (!mp__dead(p->object.segment, (uint32_t)mp__load64(p->in.ring + *at + MP_RECORD_HEAD + 8)))
                    return MP__LONG;
                if (!(h >> MP_PIECE_CLAIMED_SHIFT)) {
                    /* Until it is claimed its sender may take it back, and others may send there: then
                     * what was read is of two messages. If the CAS fails, there is something else. */
                    (void)mp__cas64(p->in.ring + *at, h, h | (uint64_t)1 << MP_PIECE_CLAIMED_SHIFT);
                    continue;
                }
                if (!mp__abandoned(p, head))
                    return MP__LONG;
            }
            orphans = mp__part(h) == MP_PART_NEXT;
        }
        if ((err = mp__free(p, head, (uint64_t)size)) != MP_OK)
            return err;
    }
}

static inline int mp__empty(const mp_pipe *p)
{
    return mp__nothing(mp__load64(p->in.ring + (mp__load64(p->in.words + MP_STREAM_HEAD) & (p->size - 1) & ~(uint64_t)7)));
}

/* mp__ended reports whether there is no message and no sender. It looks at the holders first and at the
 * ring afterwards, so that it does not miss a message that the last holder has sent before its end. */
static inline int mp__ended(mp_pipe *p) { return mp__peer_gone(p) && mp__empty(p); }

/* mp__take copies the bytes of a piece out and frees its space. */
static inline int mp__take(mp__transfer *t, uint64_t from, uint64_t n, int last, uint64_t head, uint64_t size)
{
    if (n > t->total - t->done || last != (n == t->total - t->done))
        return MP_CORRUPT;
    memcpy(t->buf + t->done, t->pipe->in.ring + from, n);
    t->done += n;
    return mp__free(t->pipe, head, size);
}

/* mp__receive_piece takes the next piece, or passes a filler. */
static inline int mp__receive_piece(mp__transfer *t)
{
    mp_pipe *p = t->pipe;
    uint64_t head = mp__load64(p->in.words + MP_STREAM_HEAD) & ~(uint64_t)7, at = head & (p->size - 1);
    uint64_t h = mp__load64(p->in.ring + at);
    int64_t size;
    if (mp__nothing(h)) {
        if (mp__dead(p->object.segment, t->from) && mp__nothing(mp__load64(p->in.ring + at)))
            return MP__DROPPED;
        return mp__ended(p) ? MP_END : MP__WAIT;
    }
    if ((size = mp__extent(p, at, h)) < 0)
        return (int)size;
    if ((h & MP_RECORD_MASK) == MP_RECORD_FILLER)
        return mp__free(p, head, (uint64_t)size);
    if ((h & MP_RECORD_MASK) != MP_RECORD_PIECE || mp__part(h) == MP_PART_FIRST || mp__part(h) == MP_PART_MASK)
        return MP__DROPPED;
    return mp__take(t, at + MP_RECORD_HEAD, mp__piece_length(h), mp__part(h) == MP_PART_LAST, head, (uint64_t)size);
}

/* mp__receive_piece_try ends the wait also when the message is dropped: then from is 0. */
static inline int mp__receive_piece_try(void *arg)
{
    mp__transfer *t = arg;
    int err = mp__receive_piece(t);
    if (err == MP__DROPPED) {
        t->from = 0;
        return 1;
    }
    return mp__result(err);
}

/* mp__receive_long receives the message whose first piece is at offset at. The caller owns the side. It
 * returns MP__DROPPED if the message was not sent after all. */
static inline int mp__receive_long(mp__transfer *t, uint64_t at)
{
    mp_pipe *p = t->pipe;
    mp_segment *s = p->object.segment;
    uint8_t *ring = p->in.ring, *gate = p->in.words + MP_STREAM_READABLE;
    const uint64_t claimed = (uint64_t)1 << MP_PIECE_CLAIMED_SHIFT;
    uint64_t h = mp__load64(ring + at), n, head = mp__load64(p->in.words + MP_STREAM_HEAD) & ~(uint64_t)7;
    int err, woken;
    if ((h & MP_RECORD_MASK) != MP_RECORD_PIECE || mp__part(h) != MP_PART_FIRST)
        return MP__DROPPED;
    if (!(h & claimed) && !mp__cas64(ring + at, h, h | claimed))
        return MP__DROPPED; /* its sender has taken it back */
    n = mp__piece_length(h);
    t->done = 0;
    t->total = mp__load64(ring + at + MP_RECORD_HEAD);
    t->from = (uint32_t)mp__load64(ring + at + MP_RECORD_HEAD + 8);
    if (t->total > SIZE_MAX)
        return MP_CORRUPT;
    *t->n = (size_t)t->total;
    if (t->total > t->size)
        return MP_SHORT_BUFFER;
    if (n < MP_LONG_HEAD || n > p->size - at - MP_RECORD_HEAD)
        return MP_CORRUPT;
    err = mp__take(t, at + MP_RECORD_HEAD + MP_LONG_HEAD, n - MP_LONG_HEAD, 0, head, mp__record_size(n));
    while (err == MP_OK && t->done < t->total) {
        if ((err = mp__receive_piece(t)) != MP__WAIT)
            continue;
        err = mp__await(s, gate, NULL, mp__receive_piece_try, t, t->deadline, &woken);
        if (err == MP_OK && t->from == 0)
            err = MP__DROPPED;
    }
    if (err == MP_OK || err == MP__DROPPED || err == MP_CORRUPT)
        return err;
    for (;;) { /* give it back: the sender begins again, unless there is another piece */
        int r;
        if (mp__ask_again(p, mp__load64(p->in.words + MP_STREAM_HEAD) & (p->size - 1) & ~(uint64_t)7))
            return err;
        while (t->done < t->total && (r = mp__receive_piece(t)) != MP__WAIT)
            if (r != MP_OK)
                return r;
        if (t->done == t->total)
            return MP_OK;
    }
}

static inline int mp__receive_once(mp__transfer *t)
{
    mp_pipe *p = t->pipe;
    mp_segment *s = p->object.segment;
    uint8_t *words = p->in.words;
    uint64_t at, n = 0;
    int err;
    if ((err = mp__enter(s, &p->in.side, t->deadline)) != MP_OK)
        return err;
    do {
        err = mp__front(p, &at, &n);
        if (err == MP_OK) {
            *t->n = (size_t)n;
            if (n > t->size) {
                err = MP_SHORT_BUFFER;
            } else {
                if (n > 0)
                    memcpy(t->buf, p->in.ring + at + MP_RECORD_HEAD, (size_t)n);
                mp__store64(words + MP_STREAM_HEAD, mp__load64(words + MP_STREAM_HEAD) + mp__record_size(n));
            }
        } else if (err == MP__LONG) {
            err = mp__receive_long(t, at);
        }
    } while (err == MP__DROPPED);
    mp__exit(s, &p->in.side);
    if (err == MP_OK)
        mp__notify(s, words + MP_STREAM_WRITABLE, 1);
    if (err == MP__WAIT && mp__ended(p))
        return MP_END;
    return err;
}

static inline int mp__receive_try(void *arg) { return mp__result(mp__receive_once(arg)); }

/* mp_receive receives the oldest message into buf, which has size bytes, and stores its length in *n.
 * It blocks while there is no message, as mp_send does. It returns MP_END after the last message of an
 * end that no process holds any more, MP_SHORT_BUFFER (*n is the message's length, and it stays in the
 * pipe), MP_TIMEOUT, MP_WRONG_DIRECTION, MP_INVALID after mp_pipe_close, or MP_CORRUPT. */
static inline int mp_receive(mp_pipe *p, void *buf, size_t size, size_t *n, int timeout_ms)
{
    mp_segment *s = p->object.segment;
    mp__transfer t;
    uint8_t *gate = p->in.words + MP_STREAM_READABLE;
    int r, woken;
    if (p->closed)
        return MP_INVALID;
    if (p->in.ring == NULL)
        return MP_WRONG_DIRECTION;
    memset(&t, 0, sizeof t);
    t.pipe = p;
    t.buf = buf;
    t.size = size;
    t.n = n;
    t.deadline = mp__deadline(timeout_ms);
    r = mp__receive_try(&t);
    if (r == 0 && timeout_ms == 0)
        return mp__poll(s, mp__receive_try, &t);
    if (r == 0)
        r = mp__awake(&p->in.side, mp__receive_try, &t);
    if (r == 0) {
        r = mp__await(s, gate, NULL, mp__receive_try, &t, t.deadline, &woken);
        if (woken && (r != MP_OK || !mp__empty(p)))
            mp__pass(gate, 1);
    }
    return r < 0 ? r : MP_OK;
}

/* mp_pipe_close gives up this program's hold of the end. The other end gets the messages that were
 * sent, and then its end of file, unless another process holds this end too. */
static inline void mp_pipe_close(mp_pipe *p)
{
    if (p->closed)
        return;
    p->closed = 1;
    mp__drop(p->object.segment, p->object.entry, p->object.role);
    mp__move(p->object.segment);
}

/* ---- workers of a pool ---- */

/* An mp_buffer is bytes that grow. A zeroed one is empty. */
typedef struct mp_buffer {
    uint8_t *data;
    size_t length, space;
} mp_buffer;

/* mp_append appends n bytes to b. It returns MP_OK, or MP_SYSTEM if there is no memory. */
static inline int mp_append(mp_buffer *b, const void *data, size_t n)
{
    if (n > b->space - b->length) {
        size_t space = b->space < 256 ? 256 : b->space;
        uint8_t *grown;
        while (n > space - b->length) {
            if (space > SIZE_MAX / 2) {
                errno = ENOMEM;
                return MP_SYSTEM;
            }
            space *= 2;
        }
        grown = (uint8_t *)realloc(b->data, space);
        if (grown == NULL)
            return MP_SYSTEM;
        b->data = grown;
        b->space = space;
    }
    if (n > 0)
        memcpy(b->data + b->length, data, n);
    b->length += n;
    return MP_OK;
}

/* An mp_task is a task of a worker. run runs one call: it appends the result to out and returns 0, or
 * appends the text of an error and returns anything else. n is the length of the argument in bytes.
 * Arguments and results are the bytes of a Go []byte or string, and JSON of anything else. */
typedef struct mp_task {
    const char *name;
    int (*run)(const void *argument, size_t n, mp_buffer *out);
} mp_task;

/* An mp__batch is a run of calls of one task that was received, and has not begun. */
typedef struct mp__batch {
    struct mp__batch *next;
    uint64_t number; /* batches count from 0 */
    int taken;       /* the pool has taken it back */
    size_t length;
    uint8_t bytes[]; /* the task's name, the number of calls, the arguments */
} mp__batch;

typedef struct mp__worker {
    mp_pipe pipe;
    const mp_task *tasks;
    size_t count;
    mp__batch *first, **last;    /* those that wait */
    uint64_t received, begun;    /* batches */
    mp_buffer message, answer;
} mp__worker;

/* mp__number reads a number, seven bits a byte, the lowest first, and moves *at behind it. */
static inline int mp__number(const uint8_t **at, const uint8_t *end, uint64_t *n)
{
    int shift;
    *n = 0;
    for (shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t b = *(*at)++;
        *n |= (uint64_t)(b & 127) << shift;
        if (b < 128)
            return MP_OK;
    }
    return MP_CORRUPT;
}

/* mp__string reads n bytes after their length, and moves *at behind them. */
static inline int mp__string(const uint8_t **at, const uint8_t *end, const uint8_t **data, uint64_t *n)
{
    int err = mp__number(at, end, n);
    if (err != MP_OK || *n > (uint64_t)(end - *at))
        return MP_CORRUPT;
    *data = *at;
    *at += *n;
    return MP_OK;
}

static inline int mp__append_number(mp_buffer *b, uint64_t n)
{
    uint8_t bytes[10];
    size_t i = 0;
    for (; n > 127; n >>= 7)
        bytes[i++] = (uint8_t)(n | 128);
    bytes[i++] = (uint8_t)n;
    return mp_append(b, bytes, i);
}

/* mp__next_message receives the next message. It returns MP_TIMEOUT if there is none and a batch
 * waits. */
static inline int mp__next_message(mp__worker *w)
{
    for (;;) {
        size_t n;
        int err = mp_receive(&w->pipe, w->message.data, w->message.space, &n, w->first != NULL ? 0 : MP_FOREVER);
        if (err != MP_SHORT_BUFFER) {
            w->message.length = err == MP_OK ? n : 0;
            return err;
        }
        free(w->message.data);
        w->message.data = (uint8_t *)malloc(n);
        w->message.space = w->message.data != NULL ? n : 0;
        if (w->message.data == NULL)
            return MP_SYSTEM;
    }
}

/* mp__add_batches adds the batches of a message to those that wait. */
static inline int mp__add_batches(mp__worker *w, const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        const uint8_t *begin = at, *data;
        uint64_t n, calls;
        mp__batch *b;
        int err = mp__string(&at, end, &data, &n);
        if (err == MP_OK)
            err = mp__number(&at, end, &calls);
        for (; err == MP_OK && calls > 0; calls--)
            err = mp__string(&at, end, &data, &n);
        if (err != MP_OK)
            return err;
        b = (mp__batch *)malloc(sizeof *b + (size_t)(at - begin));
        if (b == NULL)
            return MP_SYSTEM;
        b->next = NULL;
        b->number = w->received++;
        b->taken = 0;
        b->length = (size_t)(at - begin);
        memcpy(b->bytes, begin, b->length);
        *w->last = b;
        w->last = &b->next;
    }
    return MP_OK;
}

/* mp__give_back gives batches back to the pool that are not begun, and says which. */
static inline int mp__give_back(mp__worker *w, const uint8_t *at, const uint8_t *end)
{
    uint64_t from, to;
    mp__batch *b;
    int err = mp__number(&at, end, &from);
    if (err == MP_OK)
        err = mp__number(&at, end, &to);
    if (err != MP_OK)
        return err;
    if (from < w->begun)
        from = w->begun;
    for (b = w->first; b != NULL; b = b->next)
        b->taken |= b->number >= from && b->number < to;
    w->answer.length = 0;
    err = mp_append(&w->answer, "B", 1);
    if (err == MP_OK)
        err = mp__append_number(&w->answer, from);
    if (err == MP_OK)
        err = mp__append_number(&w->answer, to);
    if (err == MP_OK)
        err = mp_send(&w->pipe, w->answer.data, w->answer.length, MP_FOREVER);
    return err;
}

/* mp__call runs one call of the task of that name, or of none, and sends the answer. */
static inline int mp__call(mp__worker *w, const mp_task *task, const uint8_t *name, size_t length, const uint8_t *argument,
                           size_t n)
{
    mp_buffer *out = &w->answer;
    int err;
    out->length = 0;
    err = mp_append(out, "R", 1);
    if (err == MP_OK && task != NULL) {
        if (task->run(argument, n, out) != 0)
            out->data[0] = 'e';
    } else if (err == MP_OK) {
        out->data[0] = 'e';
        err = mp_append(out, "unknown task '", 14);
        if (err == MP_OK)
            err = mp_append(out, name, length);
        if (err == MP_OK)
            err = mp_append(out, "'", 1);
    }
    return err != MP_OK ? err : mp_send(&w->pipe, out->data, out->length, MP_FOREVER);
}

/* mp__run_batch runs the calls of the batch that waits longest. */
static inline int mp__run_batch(mp__worker *w)
{
    mp__batch *b = w->first;
    const uint8_t *at = b->bytes, *end = b->bytes + b->length, *name, *argument;
    const mp_task *task = NULL;
    uint64_t length, calls, n;
    size_t i;
    int err;
    w->first = b->next;
    if (w->first == NULL)
        w->last = &w->first;
    w->begun = b->number + 1;
    err = mp__string(&at, end, &name, &length);
    if (err == MP_OK)
        err = mp__number(&at, end, &calls);
    for (i = 0; err == MP_OK && i < w->count; i++)
        if (strlen(w->tasks[i].name) == length && memcmp(w->tasks[i].name, name, length) == 0)
            task = &w->tasks[i];
    for (; err == MP_OK && !b->taken && calls > 0; calls--) {
        err = mp__string(&at, end, &argument, &n);
        if (err == MP_OK)
            err = mp__call(w, task, name, (size_t)length, argument, (size_t)n);
    }
    free(b);
    return err;
}

/* mp__work runs what the pool sends. It returns MP_END if the pool needs this worker no more. */
static inline int mp__work(mp__worker *w)
{
    int err = mp_send(&w->pipe, "r", 1, MP_FOREVER);
    while (err == MP_OK) {
        const uint8_t *at, *end;
        /* What the pool takes back it takes before the next batch begins. */
        err = mp__next_message(w);
        if (err == MP_TIMEOUT) {
            err = mp__run_batch(w);
            continue;
        }
        if (err != MP_OK || w->message.length == 0)
            continue;
        at = w->message.data + 1;
        end = w->message.data + w->message.length;
        switch (w->message.data[0]) {
        case 'B': err = mp__add_batches(w, at, end); break;
        case 'T': err = mp__give_back(w, at, end); break;
        case 'Q': err = MP_END; break;
        }
    }
    return err;
}

/* mp_serve runs the calls of a Go program's pool, whose PoolOptions.Command has started this program.
 * It has count tasks. ref names the pool's pipe: NULL is "pool", as which it is passed. mp_serve runs
 * one call at a time, on this thread. It returns MP_OK when the pool needs this worker no more, or is
 * gone, or an error of mp_pipe_open, mp_send or mp_receive. A worker that returns or dies in a call
 * costs the Go program that call. */
static inline int mp_serve(mp_context *mp, const char *ref, const mp_task *tasks, size_t count)
{
    mp__worker w;
    int err;
    memset(&w, 0, sizeof w);
    w.tasks = tasks;
    w.count = count;
    w.last = &w.first;
    err = mp_pipe_open(mp, ref != NULL ? ref : "pool", MP_ANY_END, &w.pipe);
    if (err != MP_OK)
        return err;
    err = mp__work(&w);
    mp_pipe_close(&w.pipe);
    while (w.first != NULL) {
        mp__batch *b = w.first;
        w.first = b->next;
        free(b);
    }
    free(w.message.data);
    free(w.answer.data);
    return err == MP_END || err == MP_BROKEN_PIPE ? MP_OK : err;
}

#endif
