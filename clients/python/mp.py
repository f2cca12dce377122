"""Uses the shared memory of mp, Go's package for multiprocessing, in Python.

A Go program starts this program with proc.Command and passes it objects by name:

    cmd := proc.Command("python3", "worker.py").Pass("jobs", jobs).Pass("points", points)

This program opens them by these names:

    import ctypes, mp

    points = mp.array("points", ctypes.c_double)   # a ctypes array, in place
    with mp.pipe("jobs") as jobs:
        for message in jobs:                       # until no process holds the other end
            jobs.send(message.upper())

The module needs CPython 3.8 or later on 64-bit Linux, x86-64 or arm64, and only the standard
library. docs/design/clients.md describes the protocols and what is promised where.

This program is a party of each segment from before it runs until it ends. It may be killed at any
instruction: the Go programs learn of its death as of that of a Go process. A child of os.fork is no
party: in it all objects are closed.

A reference (ref) names an object: the name under which it was passed, or the text of a handle, or
the name that it has in a segment to which this program is attached; in this order. All functions and
methods may be called by several threads at once.

Functions that open objects raise NotFoundError, MismatchError, VersionError, CorruptError or
NotAttachedError, all of which are Errors. A method whose object is closed raises ClosedError.
"""

import ctypes
import fcntl
import json
import mmap
import os
import platform
import struct
import sys
import threading
import time

# The constants of the layout. Go tests compare them with the Go code.

# layout: shm
LAYOUT_VERSION = 3
BYTE_ORDER = 0x01020304
HEADER_SIZE = 56
DIRECTORY_MARK = 384
PARTIES_OFFSET = 512
MAX_OBJECTS = 1048576
ENTRY_SIZE = 640
ENTRY_STATE = 0
ENTRY_SERIAL = 4
ENTRY_KIND = 8
ENTRY_NAME_LENGTH = 12
ENTRY_PRINT = 16
ENTRY_OFFSET = 24
ENTRY_BYTES = 32
ENTRY_HOLDS = 48
ENTRY_NAME = 432
HOLD_WORDS = 32
STATE_READY = 2
MAX_NAME = 120
KIND_PIPE = 2
KIND_VALUE = 13
KIND_ARRAY = 14
KIND_BYTES = 15
HANDLE_BYTES = 40
# layout: internal/party
LINE_SIZE = 128
LINE_WORD = 0
LINE_PID = 4
LINE_NAMESPACE = 8
LINE_BITS = 10
MAX_PARTIES = 1023
LOCK_BASE_SHIFT = 62
EPOCH = 128
DEATHS = 132
PARTY_MARK = 136
# layout: internal/wait
GATE_SLEEPERS = 1
GATE_FENCE_REQUESTED = 2
GATE_FENCE_DONE = 4
GATE_ONE_WAKE = 8
GATE_QUIET = 4
QUIET_LIMIT = 64
GRACE_MS = 50
# layout: internal/robust
LOCK_GRANTED = 1
LOCK_HEIR_SHIFT = 33
LOCK_GATE = 8
# layout: internal/lock
GUARD_LOCK = 8
# layout: ring
PIPE_SIZE = 0
PIPE_FINGERPRINT = 1
STREAM_A_TO_B = 128
STREAM_B_TO_A = 896
PIPE_RINGS = 1664
STREAM_TX = 0
STREAM_TAIL = 128
STREAM_RX = 256
STREAM_HEAD = 384
STREAM_READABLE = 512
STREAM_WRITABLE = 640
SIDE_BIAS = 0
SIDE_INSIDE = 4
SIDE_LOCK = 8
SIDE_REVOKED = 1
RECORD_HEAD = 8
RECORD_MESSAGE = 1
RECORD_FILLER = 2
RECORD_PIECE = 3
RECORD_MASK = 3
RECORD_SHIFT = 2
PART_FIRST = 0
PART_NEXT = 1
PART_LAST = 2
PART_SHIFT = 2
PART_MASK = 3
PIECE_SHIFT = 4
PIECE_AGAIN = 31
PIECE_ABORTED = 15
PIECE_CLAIMED_SHIFT = 63
LONG_HEAD = 16
MIN_PIECE = 64
MAX_PIECE = 262144
PIECES_IN_RING = 8
SIMPLEX_FINGERPRINT = 2
MIN_RING = 4096
END_A = 1
END_B = 2
# layout: value
VALUE_FORMAT = 1
VALUE_COPIES_OFFSET = 4
VALUE_SIZE_OFFSET = 8
VALUE_STRIDE_OFFSET = 16
VALUE_GATE = 24
VALUE_WRITER = 168
VALUE_WORD = 256
VALUE_COPIES_BASE = 384
VALUE_COPIES = 4
# layout: array
ARRAY_FORMAT = 1
ARRAY_SIZE_OFFSET = 8
ARRAY_LENGTH_OFFSET = 16
ARRAY_DATA = 128
# layout: end


class Error(Exception):
    """The base of this module's own errors."""


class NotFoundError(Error, LookupError):
    """There is no such object, or it was removed."""


class MismatchError(Error, TypeError):
    """The object is of another kind, or its type has another size."""


class VersionError(Error):
    """It was made by another version of mp."""


class CorruptError(Error):
    """What is in memory can't be."""


class NotAttachedError(Error):
    """This program was given no party, or another process has taken it."""


class ClosedError(Error, ValueError):
    """The object was closed, or this process is a child of os.fork."""


# ---- atomic operations ----
#
# An item of a memoryview of format "I" or "Q" is loaded and stored by one instruction: CPython copies
# 4 or 8 bytes, and a compiler makes one aligned access of that. Compare-and-swap, which Python does
# not have, is a few instructions in a page of this process, called through ctypes.

_X86 = platform.machine() in ("x86_64", "AMD64")
_CODE = {
    # lock cmpxchg; sete; movzx; ret. mfence; ret.
    "x86_64": {
        "cas64": "f30f1efa 4889f0 f0480fb117 0f94c0 0fb6c0 c3",
        "cas32": "f30f1efa 89f0 f00fb117 0f94c0 0fb6c0 c3",
        "fence": "f30f1efa 0faef0 c3",
    },
    # 1: ldaxr; cmp; b.ne 2; stlxr; cbnz 1; dmb ish; mov w0, #1; ret. 2: clrex; dmb ish; mov w0, wzr; ret.
    # dmb ish; ret.
    "aarch64": {
        "cas64": "03fc5fc8 7f0001eb c1000054 02fc04c8 84ffff35 bf3b03d5 e0030032 c0035fd6 5f3f03d5 bf3b03d5 e0031f2a c0035fd6",
        "cas32": "03fc5f88 7f00016b c1000054 02fc0488 84ffff35 bf3b03d5 e0030032 c0035fd6 5f3f03d5 bf3b03d5 e0031f2a c0035fd6",
        "fence": "bf3b03d5 c0035fd6",
    },
}


def _assemble():
    """Returns the functions cas64, cas32 and fence."""
    codes = _CODE.get("x86_64" if _X86 else platform.machine())
    if codes is None or sys.platform != "linux" or sys.maxsize < 1 << 32:
        raise ImportError("mp needs 64-bit Linux on x86-64 or arm64")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    functions, at = [], 0
    for name, result, arguments in (
        ("cas64", ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)),
        ("cas32", ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)),
        ("fence", None, ()),
    ):
        code = bytes.fromhex(codes[name])
        page[at : at + len(code)] = code
        functions.append(ctypes.PYFUNCTYPE(result, *arguments)(address + at))
        at += 64
    if _libc_mprotect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC) != 0:
        raise ImportError("mp can't make code executable here: " + os.strerror(ctypes.get_errno()))
    functions.append(page)  # keeps the code mapped
    return functions


_libc = ctypes.CDLL(None, use_errno=True)


def _function(name, result, *arguments):
    f = _libc[name]  # a new object each time
    f.restype, f.argtypes = result, arguments
    return f


_long, _pointer, _size = ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t
_libc_mmap = _function("mmap", _pointer, _pointer, _size, ctypes.c_int, ctypes.c_int, ctypes.c_int, _long)
_libc_mprotect = _function("mprotect", ctypes.c_int, _pointer, _size, ctypes.c_int)
_libc_madvise = _function("madvise", ctypes.c_int, _pointer, _size, ctypes.c_int)
_syscall3 = _function("syscall", _long, _long, _long, _long, _long)
_syscall_futex = _function("syscall", _long, _long, _pointer, _long, _long, _pointer, _pointer, _long)
_syscall_waitv = _function("syscall", _long, _long, ctypes.c_char_p, _long, _long, ctypes.c_char_p, _long)
_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.restype, _view.argtypes = ctypes.py_object, (_pointer, ctypes.c_ssize_t, ctypes.c_int)

_SYS_FUTEX, _SYS_MEMBARRIER, _SYS_WAITV = (202, 324, 449) if _X86 else (98, 283, 449)
_cas64, _cas32, _fence, _code = _assemble()

# Linux registers the process for the fences that sleepers request of it. On x86 a publisher then
# needs none of its own: stores become visible in the order in which Python executes them, and loads
# are executed in that order. On arm64 every publication and every load that follows one is fenced.
_registered = _syscall3(_SYS_MEMBARRIER, 4, 0, 0) == 0
_plain = _X86 and _registered  # a publisher needs no fence before it loads a gate
_ALL = 0x7FFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF
_EPOCH_WORD = EPOCH >> 2
_OFD_GETLK, _OFD_SETLK = 36, 37  # package fcntl has them from Python 3.9 on
_MS = 1_000_000


def _membarrier():
    """Executes a full fence in every running process that has registered. Returns whether it did."""
    _fence()
    return not _X86 or _syscall3(_SYS_MEMBARRIER, 2, 0, 0) == 0


class Segment:
    """A segment to which this program is attached. It is made by this module."""

    def __init__(self, fd):
        self.fd = fd
        self.closed = False
        self.looked = 0
        self.waitv = True
        try:
            size = os.fstat(fd).st_size
            header = os.pread(fd, HEADER_SIZE, 0)
        except OSError as e:
            raise NotAttachedError(f"descriptor {fd} is no segment: {e}") from None
        if len(header) < HEADER_SIZE or header[:8] != b"mp shm\xf0\n":
            raise CorruptError(f"descriptor {fd} is no segment")
        version, order, total, parties, entries, self.id, checksum = struct.unpack("=8xIIQII16sQ", header)
        if order != BYTE_ORDER:
            raise CorruptError(f"the segment of descriptor {fd} has another byte order")
        if version != LAYOUT_VERSION:
            raise VersionError(f"the segment's layout is {version}, this module knows {LAYOUT_VERSION}")
        check = 14695981039346656037
        for b in header[:48]:
            check = (check ^ b) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
        self.directory = PARTIES_OFFSET + LINE_SIZE * (parties + 1)
        self.base = self.directory + ENTRY_SIZE * entries
        if check != checksum or not 1 <= parties <= MAX_PARTIES or not 1 <= entries <= MAX_OBJECTS:
            raise CorruptError("the header contradicts itself")
        if total > size or self.base > total or total % 8 != 0:
            raise CorruptError("the segment is truncated")
        self.lines, self.entries, self.total = parties + 1, entries, total

        # The party is at the position of the file, which has no other use. Only one process may be
        # it: the first one moves the position away.
        self.me = os.lseek(fd, 0, os.SEEK_CUR)
        self.line = self.me & (1 << LINE_BITS) - 1
        if not 0 < self.me < 1 << 31 or not 0 < self.line < self.lines:
            raise NotAttachedError("another process has taken the party that this program was passed")
        os.lseek(fd, 0, os.SEEK_SET)
        os.set_inheritable(fd, False)
        self.address = _libc_mmap(None, total, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
        if self.address == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "can't map the segment")
        _libc_madvise(self.address, total, 16)  # MADV_DONTDUMP
        _libc_madvise(self.address, total, 10)  # MADV_DONTFORK: a mapping keeps the party alive
        self.bytes = _view(self.address, total, 0x200)
        self.u32 = self.bytes.cast("I")
        self.u64 = self.bytes.cast("Q")
        if self.dead(self.me) or not self.lock_line(_OFD_SETLK, fcntl.F_WRLCK, self.line):
            raise NotAttachedError("the party that this program was passed is dead")
        at = self.line_at(self.line)
        try:
            self.u64[at + LINE_NAMESPACE >> 3] = os.stat("/proc/self/ns/pid").st_ino
        except OSError:
            self.u64[at + LINE_NAMESPACE >> 3] = 0
        _fence()
        self.u32[at + LINE_PID >> 2] = os.getpid()
        self.move()  # others watch this process now, and not the one that has started it

    def lose(self):
        """Makes this child of os.fork, which is no party, give up what keeps its parent's party alive."""
        self.closed = True
        os.close(self.fd)
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x10 | 0x4000  # MAP_FIXED, MAP_NORESERVE
        _libc_mmap(self.address, self.total, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)

    # Words by their offset in the segment.

    def add32(self, at, n):
        while True:
            w = self.u32[at >> 2]
            if _cas32(self.address + at, w, w + n & 0xFFFFFFFF):
                return w + n & 0xFFFFFFFF

    def wake(self, at, n):
        _syscall_futex(_SYS_FUTEX, self.address + at, 1, n, None, None, 0)

    # Parties.

    def line_at(self, n):
        return PARTIES_OFFSET + LINE_SIZE * n

    def dead(self, party):
        n = party & (1 << LINE_BITS) - 1
        return n == 0 or n >= self.lines or self.u32[self.line_at(n) + LINE_WORD >> 2] != party << 1 | 1

    def move(self):
        """Moves the epoch and wakes everything that sleeps on it."""
        self.add32(EPOCH, 1)
        self.wake(EPOCH, _ALL)

    def lock_line(self, command, kind, n):
        """Performs a command of fcntl on the lock of a line. Returns false if it is held."""
        lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, (1 << LOCK_BASE_SHIFT) + n, 1, 0)
        try:
            lock = fcntl.fcntl(self.fd, command, lock)
        except OSError:
            return False
        return command != _OFD_GETLK or struct.unpack_from("h", lock)[0] == fcntl.F_UNLCK

    def look(self):
        """Looks for deaths that no party has announced, and announces them: see mp__look in mp.h."""
        self.looked = time.monotonic_ns()
        for n in range(1, min(self.u32[PARTY_MARK >> 2], self.lines - 1) + 1):
            at = self.line_at(n) + LINE_WORD
            w = self.u32[at >> 2]
            if not w & 1 or n == self.line or not self.lock_line(_OFD_GETLK, fcntl.F_RDLCK, n):
                continue
            if not self.lock_line(_OFD_SETLK, fcntl.F_WRLCK, n):
                continue
            if self.u32[at >> 2] == w:
                self.u32[at >> 2] = w & ~1
            self.lock_line(_OFD_SETLK, fcntl.F_UNLCK, n)
            self.add32(DEATHS, 1)
            self.move()

    # Gates.

    def notify(self, gate, n):
        """Wakes n sleepers of the gate, if there may be one. The caller has published."""
        if not _plain:
            _fence()
        u32 = self.u32
        if not u32[gate >> 2] & (GATE_SLEEPERS | GATE_FENCE_REQUESTED):
            return
        quiet = self.add32(gate + GATE_QUIET, 1)  # a full fence
        while True:
            w = u32[gate >> 2]
            if w & GATE_SLEEPERS:
                if _cas32(self.address + gate, w, w + GATE_ONE_WAKE & 0xFFFFFFFF & ~GATE_SLEEPERS):
                    u32[gate + GATE_QUIET >> 2] = 0
                    self.wake(gate, n)
                    return
            elif w & GATE_FENCE_REQUESTED and quiet >= QUIET_LIMIT:
                fences = GATE_FENCE_REQUESTED | GATE_FENCE_DONE
                if _cas32(self.address + gate, w, w + GATE_ONE_WAKE & 0xFFFFFFFF & ~fences):
                    u32[gate + GATE_QUIET >> 2] = 0
                    return
            else:
                return

    def hand_on(self, gate, n):
        """Wakes n sleepers, whether or not the gate says that there is one."""
        self.add32(gate, GATE_ONE_WAKE)
        self.wake(gate, n)

    def arm(self, gate):
        """Says that a sleeper may be at the gate. Returns the word to sleep on, and whether there is
        a fence between publications and their publishers' loads of that word."""
        bits = GATE_SLEEPERS | (GATE_FENCE_REQUESTED if _X86 else 0)
        while True:
            w = self.u32[gate >> 2]
            if w & bits == bits or _cas32(self.address + gate, w, w | bits):
                break
        w |= bits
        if w & GATE_FENCE_DONE:
            _fence()
            return w, True
        if not _membarrier():
            return w, False
        if w & GATE_FENCE_REQUESTED and _cas32(self.address + gate, w, w | GATE_FENCE_DONE):
            w |= GATE_FENCE_DONE
        return w, True

    def sleep(self, word, value, seen, ns):
        """Sleeps until the word is not value, or the epoch not seen, or ns nanoseconds have passed."""
        if self.waitv:
            words = struct.pack("=QQIIQQII", value, self.address + word, 2, 0, seen, self.address + EPOCH, 2, 0)
            end = time.monotonic_ns() + ns
            until = struct.pack("=qq", end // 1_000_000_000, end % 1_000_000_000)
            if _syscall_waitv(_SYS_WAITV, words, 2, 0, until, 1) >= 0:
                return
            self.waitv = ctypes.get_errno() not in (1, 22, 38)  # EPERM, EINVAL, ENOSYS: before Linux 5.16
        if not self.waitv and self.u32[EPOCH >> 2] == seen:  # a short sleep on one word
            slice = ctypes.create_string_buffer(struct.pack("@ll", 0, min(ns, 10 * _MS)))
            _syscall_futex(_SYS_FUTEX, self.address + word, 0, value, ctypes.addressof(slice), None, 0)

    def wait(self, word, attempt, deadline, plain=None):
        """Calls attempt until it does not return None, and returns that, or raises TimeoutError.

        Between the calls it sleeps at the gate word, or while the plain word has the value plain.
        """
        begin = self.u32[word >> 2]
        slept = finished = False
        slice = 50 * _MS
        try:
            while True:
                seen = self.u32[EPOCH >> 2]
                armed, fenced = (plain, True) if plain is not None else self.arm(word)
                result = attempt()
                if result is not None:
                    finished = True
                    return result
                now = time.monotonic_ns()
                if deadline is not None and now >= deadline:
                    raise TimeoutError("mp: the time is over")
                ns = slice if deadline is None else min(slice, deadline - now)
                slept = True
                self.sleep(word, armed, seen, ns if fenced else min(ns, 10 * _MS))
                if time.monotonic_ns() - self.looked >= slice:
                    self.look()
                slice = min(2 * slice, 200 * _MS)
        finally:
            if slept and plain is None and not finished and not self.closed:
                self.hand_on(word, 1)  # it may have consumed a wake that another sleeper needs

    # The robust lock: see the comment of package robust.

    def lock(self, at, deadline):
        """Takes the lock, also from a dead owner."""
        handed = [None, 0]  # the hand-over last seen, with the number of the gate's wakes, and when

        def attempt():
            while True:
                w = self.u64[at >> 3]
                low = w & 0xFFFFFFFF
                owner = low >> 1
                take = owner == 0
                if not take and self.dead(owner):
                    if self.u64[at >> 3] & 0xFFFFFFFF != low:
                        continue
                    take = True
                elif not take and low & LOCK_GRANTED:  # an heir that does not acknowledge may be stopped
                    now = (self.u32[at + LOCK_GATE >> 2] // GATE_ONE_WAKE, low)
                    if now != handed[0]:
                        handed[:] = now, time.monotonic_ns()
                    else:
                        take = time.monotonic_ns() - handed[1] >= GRACE_MS * _MS
                if not take:
                    return None
                if _cas64(self.address + at, w, w & ~0xFFFFFFFF | self.me << 1):
                    return True

        if not attempt():
            self.wait(at + LOCK_GATE, attempt, deadline)

    def unlock(self, at):
        if not _X86:
            _fence()
        if self.u64[at >> 3] == self.me << 1:
            self.u64[at >> 3] = 0
            self.notify(at + LOCK_GATE, 1)
            return
        while True:
            w = self.u64[at >> 3]
            if w & 0xFFFFFFFF != self.me << 1:
                return  # not held: the memory is corrupt
            heir = w >> LOCK_HEIR_SHIFT
            handed = heir << 1 | LOCK_GRANTED if heir and not self.dead(heir) else 0
            if _cas64(self.address + at, w, handed):
                self.hand_on(at + LOCK_GATE, _ALL)
                return

    # Objects.

    def hold_at(self, entry, role, line):
        return self.directory + ENTRY_SIZE * entry + ENTRY_HOLDS + 4 * (HOLD_WORDS * role + line // 32)

    def hold(self, entry, role):
        at, bit = self.hold_at(entry, role, self.line), 1 << self.line % 32
        while True:
            w = self.u32[at >> 2]
            if _cas32(self.address + at, w, w | bit):
                return

    def drop(self, entry, role):
        at, bit = self.hold_at(entry, role, self.line), 1 << self.line % 32
        while True:
            w = self.u32[at >> 2]
            if _cas32(self.address + at, w, w & ~bit):
                return

    def held(self, entry, role):
        """Reports whether a living party holds the role: see mp__held in mp.h."""
        first = self.hold_at(entry, role, 0) >> 2
        for i in range(HOLD_WORDS):
            w = self.u32[first + i]
            while w:
                bit = (w & -w).bit_length() - 1
                n = 32 * i + bit
                if 0 < n < self.lines and self.u32[self.line_at(n) + LINE_WORD >> 2] & 1 and self.u32[first + i] >> bit & 1:
                    return True
                w &= w - 1
        return False

    def used(self):
        return min(self.u32[DIRECTORY_MARK >> 2], self.entries)

    def name(self, entry):
        e = self.directory + ENTRY_SIZE * entry
        length = min(self.u32[e + ENTRY_NAME_LENGTH >> 2], MAX_NAME)
        return bytes(self.bytes[e + ENTRY_NAME : e + ENTRY_NAME + length])

    def open(self, ref, entry, serial, kind, role):
        """Opens an object. Returns its offset and size."""
        missing = NotFoundError(f"{ref}: no such object")
        if not 0 <= entry < self.used() or not 0 <= role <= 2:
            raise missing
        e = self.directory + ENTRY_SIZE * entry
        self.hold(entry, 0)  # from here on the memory is not given to another object
        if self.u32[e + ENTRY_STATE >> 2] != STATE_READY or self.u32[e + ENTRY_SERIAL >> 2] != serial:
            raise missing
        if self.u32[e + ENTRY_KIND >> 2] != kind:
            raise MismatchError(f"{ref}: it is of kind {self.u32[e + ENTRY_KIND >> 2]}, not {kind}")
        offset, size = self.u64[e + ENTRY_OFFSET >> 3], self.u64[e + ENTRY_BYTES >> 3]
        if offset < self.base or offset % 128 or offset + size > self.total:
            raise CorruptError(f"{ref}: it does not lie in the segment")
        if role:
            self.hold(entry, role)
            self.move()
        return offset, size


_segments = None
_opening = threading.Lock()


def attach():
    """Attaches this program to the segments that it was passed. The functions that open objects call
    it. Returns the list of Segments."""
    global _segments
    with _opening:
        if _segments is None:
            fds = os.environ.get("MP_SEGMENT_FDS")
            if fds is None:
                raise NotAttachedError("start this program with proc.Command and pass it an object")
            _segments = [Segment(int(fd)) for fd in fds.split(",") if fd]
        return _segments


def _after_fork():
    for s in _segments or ():
        s.lose()


os.register_at_fork(after_in_child=_after_fork)


class _Object:
    """An open object of a segment."""

    def __init__(self, ref, kind, role=0):
        text = ref if ref.startswith("mp1-") else os.environ.get("MP_" + ref)
        segments = attach()
        if text is not None:
            try:
                handle = bytes.fromhex(text[4:])
            except ValueError:
                handle = b""
            if not text.startswith("mp1-") or len(handle) != HANDLE_BYTES:
                raise MismatchError(f"{ref}: it is no object of a segment, but {text[:100]}")
            is_kind, is_role, self.entry, serial = struct.unpack_from("<IIII", handle, 16)
            if is_kind != kind:
                raise MismatchError(f"{ref}: it is of kind {is_kind}, not {kind}")
            self.role = role or is_role
            for self.segment in segments:
                if self.segment.id == handle[:16]:
                    break
            else:
                raise NotAttachedError(f"{ref}: it lies in a segment that this program was not passed")
        else:
            self.role = role
            self.segment, self.entry, serial = _find(segments, ref)
        self.closed = False
        self.offset, self.size = self.segment.open(ref, self.entry, serial, kind, self.role)

    def check(self):
        if self.closed or self.segment.closed:
            raise ClosedError("mp: the object is closed")


def _find(segments, ref):
    for s in segments:
        for entry in range(s.used()):
            e = s.directory + ENTRY_SIZE * entry
            serial = s.u32[e + ENTRY_SERIAL >> 2]
            if s.u32[e + ENTRY_STATE >> 2] == STATE_READY and ref and s.name(entry) == ref.encode():
                return s, entry, serial
    raise NotFoundError(f"{ref}: nothing was passed under this name, and no segment has such an object")


def block(name):
    """Returns the block that was passed under the name, as a memoryview of its bytes."""
    text = os.environ.get("MP_" + name)
    if text is None:
        raise NotFoundError(f"{name}: nothing was passed under this name")
    word, _, rest = text.partition("-")
    fd, _, size = rest.partition("-")
    if word != "block":
        raise MismatchError(f"{name}: it is no block, but {text[:100]}")
    return memoryview(mmap.mmap(int(fd), int(size)))


def array(ref, element, kind=KIND_ARRAY):
    """Returns the array, in place, as a ctypes array of elements of that ctypes type.

    The elements are plain memory: nothing locks them. An aligned element of 4 or 8 bytes is loaded and
    stored as a whole.
    """
    o = _Object(ref, kind)
    s, at = o.segment, o.offset
    if o.size < ARRAY_DATA:
        raise CorruptError(f"{ref}: the array has {o.size} bytes")
    if s.u32[at >> 2] != ARRAY_FORMAT:
        raise VersionError(f"{ref}: the array has format {s.u32[at >> 2]}, this module knows {ARRAY_FORMAT}")
    size, length = s.u64[at + ARRAY_SIZE_OFFSET >> 3], s.u64[at + ARRAY_LENGTH_OFFSET >> 3]
    if size != ctypes.sizeof(element):
        raise MismatchError(f"{ref}: its elements have {size} bytes, not {ctypes.sizeof(element)}")
    if length > (o.size - ARRAY_DATA) // size:
        raise CorruptError(f"{ref}: {length} elements of {size} bytes in {o.size} bytes")
    return (element * length).from_address(s.address + at + ARRAY_DATA)


def byte_string(ref):
    """Returns the byte string, in place, as a ctypes array with .value and .raw."""
    return array(ref, ctypes.c_char, KIND_BYTES)


class Value:
    """A value of a ctypes type: a simple type, an array or a Structure. value() makes it."""

    def __init__(self, ref, kind):
        self._object = o = _Object(ref, KIND_VALUE)
        self._kind, self._size = kind, ctypes.sizeof(kind)
        s, at = o.segment, o.offset
        if o.size < VALUE_COPIES_BASE:
            raise CorruptError(f"{ref}: the value has {o.size} bytes")
        if s.u32[at >> 2] != VALUE_FORMAT:
            raise VersionError(f"{ref}: the value has format {s.u32[at >> 2]}, this module knows {VALUE_FORMAT}")
        size = s.u64[at + VALUE_SIZE_OFFSET >> 3]
        if size != self._size:
            raise MismatchError(f"{ref}: it has {size} bytes, not {self._size}")
        self._stride = 0 if size <= 8 else (size + 127) // 128 * 128
        copies = s.u32[at + VALUE_COPIES_OFFSET >> 2]
        if copies != (VALUE_COPIES if self._stride else 0) or s.u64[at + VALUE_STRIDE_OFFSET >> 3] != self._stride:
            raise CorruptError(f"{ref}: it has {copies} copies")
        if o.size < VALUE_COPIES_BASE + copies * self._stride:
            raise CorruptError(f"{ref}: the value has {o.size} bytes")
        self._writer = threading.Lock()

    def load(self):
        """Returns the value: a number for a simple type, else a new object of the ctypes type. It does
        not block, and what it returns is never torn."""
        o, s = self._object, self._object.segment
        o.check()
        word = o.offset + VALUE_WORD
        if self._size <= 4:
            data = s.u32[word >> 2].to_bytes(4, sys.byteorder)
        elif self._size <= 8:
            data = s.u64[word >> 3].to_bytes(8, sys.byteorder)
        else:
            while True:
                n = s.u64[word >> 3]
                if not _X86:
                    _fence()
                at = o.offset + VALUE_COPIES_BASE + n % VALUE_COPIES * self._stride
                data = bytes(s.bytes[at : at + self._size])
                if not _X86:
                    _fence()
                if s.u64[word >> 3] - n < VALUE_COPIES - 1:
                    break
        x = self._kind.from_buffer_copy(data[: self._size])
        return x.value if isinstance(x, ctypes._SimpleCData) else x

    def store(self, x, timeout=None):
        """Publishes x: a number, or an object of the ctypes type. It wakes the watchers.

        It blocks while another process publishes a value of more than 8 bytes. It raises TimeoutError
        after timeout seconds.
        """
        o, s = self._object, self._object.segment
        o.check()
        data = bytes(x if isinstance(x, self._kind) else self._kind(x))
        word = o.offset + VALUE_WORD
        if not _X86:
            _fence()
        if self._size <= 4:
            s.u32[word >> 2] = int.from_bytes(data.ljust(4, b"\0") if sys.byteorder == "little" else data.rjust(4, b"\0"), sys.byteorder)
        elif self._size <= 8:
            s.u64[word >> 3] = int.from_bytes(data.ljust(8, b"\0"), sys.byteorder)
        else:
            with self._writer:
                s.lock(o.offset + VALUE_WRITER + GUARD_LOCK, _deadline(timeout))
                try:
                    n = s.u64[word >> 3] + 1
                    at = o.offset + VALUE_COPIES_BASE + n % VALUE_COPIES * self._stride
                    s.bytes[at : at + self._size] = data
                    if not _X86:
                        _fence()
                    s.u64[word >> 3] = n
                finally:
                    s.unlock(o.offset + VALUE_WRITER + GUARD_LOCK)
        s.notify(o.offset + VALUE_GATE, _ALL)


def value(ref, kind):
    """Opens a value of a ctypes type."""
    return Value(ref, kind)


def _deadline(timeout):
    return None if timeout is None else time.monotonic_ns() + int(timeout * 1e9)


class _Side:
    """This program's use of one side of a direction of a pipe: see ring/biased_lock.go."""

    def __init__(self, segment, at):
        self.segment = segment
        self.bias, self.inside, self.lock = at + SIDE_BIAS, at + SIDE_INSIDE, at + SIDE_LOCK
        self.bias_word, self.inside_word = self.bias >> 2, self.inside >> 2
        self.mine = segment.me << 1
        self.has_bias = self.locked = self.fenced = False
        self.thread = threading.Lock()  # one thread at a time
        self.skip = self.skips = 0  # see spin
        self.yield_skip = self.yield_debt = 0  # see give_way
        self.fresh = True  # another user may have left the side behind

    def enter(self, deadline):
        s, u32 = self.segment, self.segment.u32
        while True:
            if self.has_bias:
                u32[self.inside_word] = 1
                if not _plain:
                    _fence()
                if u32[self.bias_word] == self.mine:
                    return
                self.leave()
            b = u32[self.bias >> 2]
            if b & SIDE_REVOKED:
                break
            if b == 0 or b != self.mine and s.dead(b >> 1):
                if _cas32(s.address + self.bias, b, self.mine):
                    u32[self.inside >> 2] = 0  # a dead owner may have left 1
                    self.has_bias = self.fresh = True
            elif _cas32(s.address + self.bias, b, b | SIDE_REVOKED):
                break
        if not self.fenced:
            if not _membarrier():
                time.sleep(0.01)  # far longer than a store stays in a store buffer
            self.fenced = True
        s.lock(self.lock, deadline)
        owner = b >> 1

        def left():
            return True if u32[self.inside >> 2] == 0 or s.dead(owner) else None

        try:
            if not left():
                s.wait(self.inside, left, deadline, plain=1)
        except BaseException:
            s.unlock(self.lock)
            raise
        self.locked = self.fresh = True
        if not _X86:
            _fence()

    def leave(self):
        """Gives the side up, and wakes a process that has revoked this program's bias."""
        if self.locked:
            self.locked = False
            self.segment.unlock(self.lock)
            return
        u32 = self.segment.u32
        if not _X86:
            _fence()
        u32[self.inside_word] = 0
        if not _plain:
            _fence()
        if u32[self.bias_word] != self.mine:
            self.has_bias = False
            self.segment.wake(self.inside, _ALL)

    def spin(self, word, was):
        """Waits for some 20 microseconds until the word with that index is not was. Returns whether it
        changed. A spin that finds nothing makes the next ones be skipped: spinning pays only if the
        answer comes from another CPU."""
        if self.skip > 0:
            self.skip -= 1
            return False
        u64 = self.segment.u64
        for _ in range(300):
            if u64[word] != was:
                self.skips = 0
                return True
        self.skip = self.skips = min(2 * self.skips + 1, 1023)
        return False

    def give_way(self, word, was):
        """Yields the CPU up to 16 times while the word with that index is was: the peer may be waiting
        for this CPU. Returns whether it changed. A wait whose yields find nothing, or take longer than 200
        microseconds, makes the next ones sleep without a yield. Eight that find something in time make up
        for one."""
        if self.yield_skip > 0:
            self.yield_skip -= 1
            return False
        u64, end = self.segment.u64, time.monotonic_ns() + 200000
        changed = in_time = False
        for _ in range(16):
            os.sched_yield()
            changed, in_time = u64[word] != was, time.monotonic_ns() <= end
            if changed or not in_time:
                break
        if changed and in_time:
            self.yield_debt = max(self.yield_debt - 1, 0)
        else:
            self.yield_debt = min(self.yield_debt + 8, 80)
            self.yield_skip = 1 << self.yield_debt // 8
        return changed


_NOTHING = (0, PIECE_AGAIN)  # headers that say that there is no record
_CLAIMED = 1 << PIECE_CLAIMED_SHIFT


def _piece_length(header):
    return (header & ~_CLAIMED) >> PIECE_SHIFT


def _part(header):
    return header >> PART_SHIFT & PART_MASK


class Pipe:
    """One end of a pipe. pipe() makes it. This program holds the end until close() or its end."""

    def __init__(self, ref, end=0):
        self._object = o = _Object(ref, KIND_PIPE, end)
        s, at = o.segment, o.offset
        fingerprint = s.u64[s.directory + ENTRY_SIZE * o.entry + ENTRY_PRINT >> 3]
        if fingerprint not in (PIPE_FINGERPRINT, SIMPLEX_FINGERPRINT):
            raise VersionError(f"{ref}: the pipe was made by another version of mp")
        count = 1 if fingerprint == SIMPLEX_FINGERPRINT else 2
        if o.role not in (END_A, END_B):
            raise MismatchError(f"{ref}: a pipe has no end {o.role}: say END_A or END_B")
        size = s.u64[at + PIPE_SIZE >> 3] if o.size >= PIPE_RINGS + count * MIN_RING else 0
        if size < MIN_RING or size & size - 1 or size > (o.size - PIPE_RINGS) // count:
            raise CorruptError(f"{ref}: rings of {size} bytes in {o.size} bytes")
        self._segment, self._size = s, size
        self._limit = size // 2 - 2 * RECORD_HEAD
        self._piece_limit = min(size // PIECES_IN_RING - 2 * RECORD_HEAD, MAX_PIECE)
        self._sends, self._receives = count == 2 or o.role == END_A, count == 2 or o.role == END_B
        a, b = at + STREAM_A_TO_B, at + STREAM_B_TO_A
        self._out, self._in = (a, b) if o.role == END_A else (b, a)
        rings = at + PIPE_RINGS
        self._out_ring, self._in_ring = (rings, rings + size) if o.role == END_A else (rings + size, rings)
        self._tx, self._rx = _Side(s, self._out + STREAM_TX), _Side(s, self._in + STREAM_RX)
        self._tail, self._out_head = self._out + STREAM_TAIL >> 3, self._out + STREAM_HEAD >> 3
        self._head = self._in + STREAM_HEAD >> 3
        self._in_tail = self._in + STREAM_TAIL >> 3
        # The gates that this end notifies, and those at which it waits.
        self._readable, self._writable = self._out + STREAM_READABLE, self._in + STREAM_WRITABLE
        self._readable_in, self._writable_out = self._in + STREAM_READABLE, self._out + STREAM_WRITABLE
        self._other = END_A + END_B - o.role
        self._peer_epoch = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        """Yields the messages until the end."""
        while True:
            try:
                message = self.recv()
            except EOFError:
                return
            yield message

    def close(self):
        """Gives up this program's hold of the end. The other end gets the messages that were sent, and
        then its end of file, unless another process holds this end too."""
        o = self._object
        if not o.closed and not o.segment.closed:
            o.closed = True
            self._peer_epoch = None  # so that every call checks whether it is closed
            o.segment.drop(o.entry, o.role)
            o.segment.move()

    def _peer_gone(self):
        self._object.check()
        s = self._segment
        while True:
            epoch = s.u32[EPOCH >> 2]
            if epoch == self._peer_epoch:
                return False
            if s.held(self._object.entry, self._other):
                self._peer_epoch = epoch
                return False
            if s.u32[EPOCH >> 2] == epoch:
                return True

    def _extent(self, at, header):
        """Returns how many bytes of the ring the record at offset at takes."""
        n, rest, kind = header >> RECORD_SHIFT, self._size - at, header & RECORD_MASK
        if kind == RECORD_PIECE:
            n = _piece_length(header)
        if kind in (RECORD_MESSAGE, RECORD_PIECE) and n <= rest - RECORD_HEAD:
            return RECORD_HEAD + (n + 7 & ~7)
        if kind == RECORD_FILLER and n == rest:
            return n
        raise CorruptError("no record can be at the place where the next one is to be")

    def _space(self, tail, need):
        """Reports whether need bytes from tail on are free, and the header after them."""
        used = tail - self._segment.u64[self._out_head] & _MASK64
        if used > self._size:
            raise CorruptError("the ring holds more than its size")
        return need + RECORD_HEAD <= self._size - used

    # The steps of sending and receiving, and what a kill leaves at each, are those of
    # ring/stream_unsafe.go: a message is sent when its header is stored, and received when head has
    # moved. Those of messages that go through the ring in pieces are those of ring/piece.go. _send and
    # _receive return None if they would have to wait.

    def _store(self, word, value):
        """Publishes a word."""
        if not _X86:
            _fence()
        self._segment.u64[word] = value

    def _cas(self, at, old, new):
        return _cas64(self._segment.address + at, old, new)

    def _send(self, data, deadline):
        s = self._segment
        u64, side = s.u64, self._tx
        if s.u32[_EPOCH_WORD] != self._peer_epoch and self._peer_gone():
            raise BrokenPipeError("mp: no process holds the other end")
        tail_word, ring, size, length = self._tail, self._out_ring, self._size, len(data)
        need = RECORD_HEAD + (length + 7 & ~7)
        side.enter(deadline)
        try:
            while True:
                tail = u64[tail_word] & ~7
                at = tail & size - 1
                if side.fresh or u64[ring + at >> 3]:
                    tail = self._repair()
                    side.fresh = False
                    at = tail & size - 1
                take = need if at + need <= size else size - at
                used = tail - u64[self._out_head] & _MASK64
                if take + RECORD_HEAD > size - used:
                    if used > size:
                        raise CorruptError("the ring holds more than its size")
                    return None
                if not _X86:
                    _fence()
                u64[ring + (at + take & size - 1) >> 3] = 0  # step 1
                if at + need <= size:
                    begin = ring + at + RECORD_HEAD
                    s.bytes[begin : begin + length] = data  # step 2
                    header = length << RECORD_SHIFT | RECORD_MESSAGE
                else:
                    header = take << RECORD_SHIFT | RECORD_FILLER
                if not _X86:
                    _fence()
                u64[ring + at >> 3] = header  # step 3: sent
                if not _X86:
                    _fence()
                u64[tail_word] = tail + take & _MASK64
                if header & RECORD_MASK == RECORD_MESSAGE:
                    break
        except BaseException:  # KeyboardInterrupt may come between any two steps
            side.fresh = True
            raise
        finally:
            side.leave()
        s.notify(self._readable, 1)
        return True

    def _repair(self):
        """Moves tail on to the first header that says "nothing yet", and returns it. A sender that
        was killed may have left it behind."""
        u64, ring, mask = self._segment.u64, self._out_ring, self._size - 1
        first = tail = u64[self._tail] & ~7
        while True:
            header = u64[ring + (tail & mask) >> 3]
            if header in _NOTHING:
                break
            tail += self._extent(tail & mask, header)
            if tail - first > self._size:
                raise CorruptError("the ring has no end")
        tail &= _MASK64
        if tail != first:
            self._store(self._tail, tail)
        return tail

    def _send_long(self, data, deadline):
        """Sends data in pieces. It owns the sending side up to the end."""
        s, side = self._segment, self._tx
        if self._peer_gone():
            raise BrokenPipeError("mp: no process holds the other end")
        side.enter(deadline)
        try:
            self._repair()
            side.fresh = True  # until it has sent all
            done = start = header = 0

            def piece():
                nonlocal done, start, header
                if self._peer_gone():
                    raise BrokenPipeError("mp: no process holds the other end")
                tail = s.u64[self._tail] & ~7
                at = tail & self._size - 1
                word, first = self._out_ring + at >> 3, done == 0
                if not first and s.u64[word] == PIECE_AGAIN:
                    done = 0
                    return True
                head = LONG_HEAD if first else 0
                want, to_end = min(len(data) - done + head, self._piece_limit), self._size - at
                if RECORD_HEAD + want > to_end and to_end < RECORD_HEAD + MIN_PIECE:
                    want, size, new = 0, to_end, to_end << RECORD_SHIFT | RECORD_FILLER
                else:
                    want = min(want, to_end - RECORD_HEAD)
                    size = RECORD_HEAD + (want + 7 & ~7)
                    part = PART_FIRST if first else PART_LAST if want == len(data) - done else PART_NEXT
                    new = want << PIECE_SHIFT | part << PART_SHIFT | RECORD_PIECE
                if not self._space(tail, size + RECORD_HEAD):  # and space for "aborted"
                    return None
                self._store(self._out_ring + (at + size & self._size - 1) >> 3, 0)
                if want:
                    begin = self._out_ring + at + RECORD_HEAD
                    if first:
                        s.u64[begin >> 3], s.u64[begin + 8 >> 3] = len(data), s.me
                        start, header = tail, new
                    s.bytes[begin + head : begin + want] = data[done : done + want - head]
                if first:
                    self._store(word, new)
                elif not self._cas(word << 3, 0, new):
                    if s.u64[word] != PIECE_AGAIN:
                        raise CorruptError("a record is where the next piece is to be")
                    done = 0
                    return True
                self._store(self._tail, tail + size & _MASK64)
                s.notify(self._readable, 1)
                if want:
                    done += want - head
                return True

            try:
                while done < len(data):
                    if not piece():
                        s.wait(self._writable_out, piece, deadline)
                        s.hand_on(self._writable_out, 1)
            except BaseException:
                self._abort(done, start, header)
                raise
        finally:
            side.leave()

    def _abort(self, done, start, header):
        """Takes a message back, or tells the receiver that no other piece follows."""
        if done == 0:
            return
        u64, tail = self._segment.u64, self._segment.u64[self._tail] & ~7
        first = self._out_ring + (start & self._size - 1)
        if tail - start & _MASK64 <= self._size - 2 * RECORD_HEAD and u64[first >> 3] == header:
            self._store(self._tail, start)  # if it is killed here, _repair walks on from there
            if self._cas(first, header, 0):
                return
            self._store(self._tail, tail)
        at = tail & self._size - 1
        self._store(self._out_ring + (at + RECORD_HEAD & self._size - 1) >> 3, 0)
        if self._cas(self._out_ring + at, 0, PIECE_ABORTED):
            self._store(self._tail, tail + RECORD_HEAD & _MASK64)
            self._segment.notify(self._readable, 1)

    def _receive(self, deadline):
        s = self._segment
        u64, side = s.u64, self._rx
        if s.u32[_EPOCH_WORD] != self._peer_epoch:
            self._peer_gone()  # the end may be closed
        head_word, ring, mask = self._head, self._in_ring, self._size - 1
        message = None
        side.enter(deadline)
        try:
            head = u64[head_word] & ~7
            at = head & mask
            header = u64[ring + at >> 3]
            length = header >> RECORD_SHIFT
            if header & RECORD_MASK == RECORD_MESSAGE and length <= mask - at - 7:
                if not _X86:
                    _fence()
                begin = ring + at + RECORD_HEAD
                message = s.bytes[begin : begin + length].tobytes()
                if not _X86:
                    _fence()
                u64[head_word] = head + RECORD_HEAD + (length + 7 & ~7) & _MASK64
            elif header not in _NOTHING:
                message = self._receive_other(deadline)
        finally:
            side.leave()
        if message is not None:
            s.notify(self._writable, 1)
        # It looks at the holders first and at the ring afterwards, so that it does not miss a message
        # that the last holder has sent before its end.
        elif s.u32[_EPOCH_WORD] != self._peer_epoch and self._ended():
            raise EOFError("mp: no process holds the other end of the pipe")
        return message

    def _ended(self):
        return self._peer_gone() and self._empty()

    def _free(self, head, size):
        """Frees the size bytes at head, and wakes a sender."""
        # A sender that tries to take a message back moves tail back by less than a ring.
        if (self._segment.u64[self._in_tail] + self._size - head & _MASK64) >> 63:
            raise CorruptError("no record can be at the place where the next one is to be")
        self._store(self._head, head + size & _MASK64)
        self._segment.notify(self._writable, 1)

    def _ask_again(self):
        """Asks the sender of a message in pieces to begin again, unless there is a record at head.
        Returns whether there is none."""
        at = self._in_ring + (self._segment.u64[self._head] & self._size - 8)
        return self._cas(at, 0, PIECE_AGAIN) or self._segment.u64[at >> 3] == PIECE_AGAIN

    def _receive_other(self, deadline):
        """Receives a message that does not begin at head. It passes fillers, and pieces of a message
        whose beginning is gone. If the sender of these may still be sending, it asks it to begin again."""
        u64, ring, orphans = self._segment.u64, self._in_ring, False
        while True:
            head = u64[self._head] & ~7
            at = head & self._size - 1
            header = u64[ring + at >> 3]
            if header in _NOTHING:
                if orphans and not self._ask_again():
                    continue
                return None
            if not _X86:
                _fence()
            size, kind = self._extent(at, header), header & RECORD_MASK
            if kind == RECORD_MESSAGE:
                begin = ring + at + RECORD_HEAD
                message = self._segment.bytes[begin : begin + (header >> RECORD_SHIFT)].tobytes()
                self._free(head, size)
                return message
            if kind == RECORD_PIECE:
                if _part(header) == PART_FIRST:
                    if _piece_length(header) < LONG_HEAD:
                        raise CorruptError("the first piece is too short")
                    dead = self._segment.dead(u64[ring + at + RECORD_HEAD + 8 >> 3] & 0xFFFFFFFF)
                    if dead and not header & _CLAIMED:
                        # Until it is claimed its sender may take it back, and others may send there:
                        # then what was read is of two messages. If the CAS fails, there is something else.
                        self._cas(ring + at, header, header | _CLAIMED)
                        continue
                    if not dead or not self._abandoned(head):
                        message = self._receive_long(at, deadline)
                        if message is not None:
                            return message
                        continue
                orphans = _part(header) == PART_NEXT
            self._free(head, size)

    def _abandoned(self, head):
        """Reports whether the last piece of the message whose first piece is at head was not sent. The
        message is claimed, and its sender is dead."""
        s, begin = self._segment, head
        while head - begin <= self._size:
            at = head & self._size - 1
            header = s.u64[self._in_ring + at >> 3]
            if header in _NOTHING:
                return True
            kind, part = header & RECORD_MASK, _part(header)
            if kind != RECORD_FILLER:
                if kind != RECORD_PIECE or part == PART_MASK or part == PART_FIRST and head != begin:
                    return True
                if part == PART_LAST:
                    return False
            head += self._extent(at, header)
        return False

    def _receive_long(self, at, deadline):
        """Receives the message whose first piece is at offset at. Returns None if the message was not
        sent after all."""
        s, u64, word = self._segment, self._segment.u64, self._in_ring + at >> 3
        header = u64[word]
        if header & RECORD_MASK != RECORD_PIECE or _part(header) != PART_FIRST:
            return None
        if not header & _CLAIMED and not self._cas(word << 3, header, header | _CLAIMED):
            return None  # its sender has taken it back
        n, total, sender = _piece_length(header), u64[word + 1], u64[word + 2] & 0xFFFFFFFF
        message, dropped = bytearray(), False

        def take(at, n, last, head):
            if n > total - len(message) or last != (n == total - len(message)):
                raise CorruptError("a piece does not fit into its message")
            begin = self._in_ring + at
            message.extend(s.bytes[begin : begin + n])
            self._free(head, self._extent(head & self._size - 1, u64[self._in_ring + (head & self._size - 1) >> 3]))

        def piece():
            nonlocal dropped
            head = u64[self._head] & ~7
            at = head & self._size - 1
            header = u64[self._in_ring + at >> 3]
            if header in _NOTHING:
                if s.dead(sender) and u64[self._in_ring + at >> 3] in _NOTHING:
                    dropped = True
                    return True
                if self._ended():
                    raise EOFError("mp: no process holds the other end of the pipe")
                return None
            if not _X86:
                _fence()
            size, kind, part = self._extent(at, header), header & RECORD_MASK, _part(header)
            if kind == RECORD_FILLER:
                self._free(head, size)
            elif kind != RECORD_PIECE or part == PART_FIRST or part == PART_MASK:
                dropped = True
            else:
                take(at + RECORD_HEAD, _piece_length(header), part == PART_LAST, head)
            return True

        take(at + RECORD_HEAD + LONG_HEAD, n - LONG_HEAD, False, u64[self._head] & ~7)
        try:
            while len(message) < total and not dropped:
                if not piece():
                    s.wait(self._readable_in, piece, deadline)
        except CorruptError:
            raise
        except BaseException:  # give it back: the sender begins again, unless there is another piece
            while not dropped and not self._ask_again():
                while len(message) < total and not dropped and piece():
                    pass
                if len(message) == total:
                    return bytes(message)
            raise
        return None if dropped else bytes(message)

    def _empty(self):
        u64 = self._segment.u64
        return u64[self._in_ring + (u64[self._head] & self._size - 8) >> 3] in _NOTHING

    def _wait(self, side, gate, attempt, timeout):
        """Goes on after an attempt that would have had to wait. The caller has the side's thread lock."""
        if timeout is not None and timeout <= 0:
            if time.monotonic_ns() - self._segment.looked > 100 * _MS:
                self._segment.look()  # a process that only polls learns of deaths too
            result = attempt(0)
            if result is None:
                raise TimeoutError("mp: it would have to wait")
            return result
        deadline = _deadline(timeout)

        def again():
            return attempt(deadline)

        u64 = self._segment.u64
        if side is self._rx:
            word, was = self._in_ring + (u64[self._head] & self._size - 8) >> 3, 0
        else:
            word, was = self._out_head, u64[self._out_head]
        result = again() if side.spin(word, was) or side.give_way(word, was) else None
        if result is not None:
            return result
        result = self._segment.wait(gate, again, deadline)
        if side is self._tx or not self._empty():
            self._segment.hand_on(gate, 1)  # it has left something for another sleeper
        return result

    def send(self, data, timeout=None):
        """Sends a copy of data: bytes, or anything with a buffer of bytes.

        It blocks while the pipe is full, and raises TimeoutError after timeout seconds, at once if that
        is 0; BrokenPipeError if no process holds the other end. A message that is longer than half of
        the ring is sent in pieces, and send blocks until the last piece is in the ring.
        """
        if not isinstance(data, bytes):
            data = bytes(data)
        if not self._sends:
            raise MismatchError("mp: the pipe has one direction, and this end only receives")
        with self._tx.thread:
            if len(data) > self._limit:
                self._send_long(data, _deadline(timeout))
            elif self._send(data, _deadline(timeout)) is None:
                self._wait(self._tx, self._writable_out, lambda deadline: self._send(data, deadline), timeout)

    def recv(self, timeout=None):
        """Receives the oldest message, as bytes.

        It blocks while there is none, and raises TimeoutError after timeout seconds, at once if that is
        0; EOFError after the last message, if no process holds the other end any more.
        """
        if not self._receives:
            raise MismatchError("mp: the pipe has one direction, and this end only sends")
        with self._rx.thread:
            message = self._receive(_deadline(timeout))
            if message is None:
                message = self._wait(self._rx, self._readable_in, self._receive, timeout)
            return message


def pipe(ref, end=0):
    """Opens one end of a pipe: END_A or END_B, or the one that was passed."""
    return Pipe(ref, end)


def serve(tasks, ref="pool"):
    """Runs the calls of a Go program's pool, whose PoolOptions.Command has started this program.

    tasks maps the name of each task to a function of the argument, as bytes, that returns the result
    as bytes; see in_json. If the function raises an exception, the call fails with its text. serve
    returns when the pool needs this worker no more, or is gone. It runs one call at a time, on this
    thread.
    """
    with pipe(ref) as pool:
        begun = 0  # batches that were begun, or skipped since the pool has taken them back
        taken = set()  # numbers of batches that the pool has taken back
        waiting = []  # batches that were received
        pool.send(b"r")
        while True:
            try:
                # What the pool takes back it takes before the next batch begins.
                message = pool.recv(0 if waiting else None)
            except TimeoutError:
                name, arguments = waiting.pop(0)
                number, begun = begun, begun + 1
                if number in taken:
                    taken.discard(number)
                    continue
                for argument in arguments:
                    pool.send(_answer(tasks, name, argument))
                continue
            except (EOFError, BrokenPipeError):
                return
            kind = message[:1]
            if kind == b"B":
                at = 1
                while at < len(message):
                    name, at = _cut(message, at)
                    n, at = _number(message, at)
                    arguments = []
                    for _ in range(n):
                        argument, at = _cut(message, at)
                        arguments.append(argument)
                    waiting.append((name.decode(), arguments))
            elif kind == b"T":
                first, at = _number(message, 1)
                end, _ = _number(message, at)
                first = max(first, begun)
                taken.update(range(first, end))
                pool.send(b"B" + _varint(first) + _varint(end))
            elif kind == b"Q":
                return


def in_json(function):
    """Returns a task for serve of a function whose argument and result are what JSON can say."""

    def task(argument):
        return json.dumps(function(json.loads(argument))).encode()

    return task


def _answer(tasks, name, argument):
    function = tasks.get(name)
    if function is None:
        return b"e" + f"unknown task {name!r}".encode()
    try:
        return b"R" + bytes(function(argument))
    except Exception as e:
        return b"e" + f"{type(e).__name__}: {e}".encode(errors="replace")


def _number(data, at):
    """Returns the number at data[at], seven bits a byte, the lowest first, and where it ends."""
    n = shift = 0
    while True:
        n |= (data[at] & 127) << shift
        if data[at] < 128:
            return n, at + 1
        at, shift = at + 1, shift + 7


def _cut(data, at):
    """Returns the bytes at data[at], after their length, and where they end."""
    n, at = _number(data, at)
    return data[at : at + n], at + n


def _varint(n):
    """Is the inverse of _number."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)
