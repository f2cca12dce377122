"""Measures one transport of Python's multiprocessing, as package bench measures its own.

The argument is the JSON of a pythonJob. The result, on standard output, is the JSON of the summaries of the two
processes. This process has the second role. The first is a child's, which ends with this process.
"""

import json
import multiprocessing
import os
import resource
import signal
import struct
import sys
import threading
import time
from multiprocessing import shared_memory

JOB = json.loads(sys.argv[1])
SIZE, SLOTS, WARM = JOB["Size"], JOB["Slots"], JOB["Warm"]
FIRST, LAST, NEXT = 1 << 63, 1 << 62, 1 << 8
NUMBER = struct.Struct("=Q")
FORK = multiprocessing.get_context("fork")


class Wrong(Exception):
    """A message was lost or damaged, or arrived out of order."""


def stamp(buf, w):
    NUMBER.pack_into(buf, 0, w)
    NUMBER.pack_into(buf, SIZE - 8, w)


def stamped(buf):
    if len(buf) != SIZE:
        raise Wrong(f"{len(buf)} bytes instead of {SIZE}")
    (w,) = NUMBER.unpack_from(buf, 0)
    if NUMBER.unpack_from(buf, SIZE - 8)[0] != w:
        raise Wrong(f"contents of message {(w & ~(FIRST | LAST)) // NEXT}")
    return w


class Pipe:
    """One end of a multiprocessing.Pipe."""

    def __init__(self, conn):
        self.conn, self.buf = conn, bytearray(SIZE)

    def send(self, w):
        stamp(self.buf, w)
        self.conn.send_bytes(self.buf)

    def receive(self):
        n = self.conn.recv_bytes_into(self.buf)
        return stamped(memoryview(self.buf)[:n])


class Queue:
    """A multiprocessing.Queue to put into, and one to get from."""

    def __init__(self, out, into):
        self.out, self.into, self.buf = out, into, bytearray(SIZE)

    def send(self, w):
        stamp(self.buf, w)
        self.out.put(bytes(self.buf))

    def receive(self):
        return stamped(self.into.get())


class Ring:
    """A SharedMemory with slots for messages, and semaphores that count the free and the filled ones."""

    def __init__(self, name):
        self.memory = shared_memory.SharedMemory(name, create=True, size=SIZE * SLOTS)
        self.memory.unlink()
        try:  # without memory for it, the first access to a page would be a SIGBUS
            os.posix_fallocate(self.memory._fd, 0, SIZE * SLOTS)
        except OSError as e:
            raise OSError(e.errno, e.strerror, "/dev/shm") from None
        self.free, self.filled, self.at = FORK.Semaphore(SLOTS), FORK.Semaphore(0), 0

    def slot(self):
        begin = self.at * SIZE
        self.at = (self.at + 1) % SLOTS
        return slice(begin, begin + SIZE)


class Shared:
    """A Ring to write to, and one to read from."""

    def __init__(self, out, into):
        self.out, self.into, self.buf = out, into, bytearray(SIZE)

    def send(self, w):
        stamp(self.buf, w)
        self.out.free.acquire()
        self.out.memory.buf[self.out.slot()] = self.buf
        self.out.filled.release()

    def receive(self):
        self.into.filled.acquire()
        self.buf[:] = self.into.memory.buf[self.into.slot()]
        self.into.free.release()
        return stamped(self.buf)


def ports():
    """Returns the ports of the first and of the second process."""
    kind = JOB["Transport"]
    if kind == "python-pipe":
        a, b = FORK.Pipe()
        return Pipe(a), Pipe(b)
    if kind == "python-queue":
        there, back = FORK.Queue(SLOTS), FORK.Queue(SLOTS)
        return Queue(there, back), Queue(back, there)
    there, back = Ring(JOB["Name"] + "-a"), Ring(JOB["Name"] + "-b")
    return Shared(there, back), Shared(back, there)


def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.process_time_ns(), used.ru_nvcsw + used.ru_nivcsw


def produce(port):
    n = 0
    while n < WARM:
        n += 1
        port.send(n * NEXT | (FIRST if n == WARM else 0))
    more, end = JOB["Messages"] - 1, time.monotonic_ns() + JOB["Nanoseconds"]
    while more > 0 if JOB["Messages"] else n < WARM + JOB["Fewest"] or time.monotonic_ns() < end:
        for _ in range(min(more, JOB["Batch"]) if JOB["Messages"] else JOB["Batch"]):
            n += 1
            more -= 1
            port.send(n * NEXT)
    port.send((n + 1) * NEXT | LAST)
    return {"Role": 0, "Count": n + 1}


def consume(port):
    count = total = last = begin = 0
    while True:
        w = port.receive()
        if w & FIRST:
            begin = time.monotonic_ns()
        marks, w = w & LAST, w & ~(FIRST | LAST)
        if w <= last:
            raise Wrong(f"message {w // NEXT} arrived after message {last // NEXT}")
        last = w
        count += 1
        total += w
        if marks:
            end = time.monotonic_ns()
            return {"Role": 1, "Count": count, "Sum": total % (1 << 64), "Begin": begin, "End": end}


def call(port):
    w = NEXT
    for _ in range(JOB["Trips"]):
        port.send(w)
        port.receive()
        w += NEXT
    trips, begin = [], time.monotonic_ns()
    now, end = begin, begin + JOB["Nanoseconds"]
    while len(trips) < (JOB["Messages"] or JOB["Fewest"]) or not JOB["Messages"] and now < end:
        port.send(w)
        back = port.receive()
        then, now = now, time.monotonic_ns()
        trips.append(now - then)
        if back != w:
            raise Wrong(f"message {w // NEXT} came back as {back // NEXT}")
        w += NEXT
    port.send(w | LAST)
    trips.sort()
    quantile = {f"P{q}".replace(".", ""): trips[min(int(len(trips) * q / 100), len(trips) - 1)] for q in (50, 90, 99, 99.9)}
    return {"Role": 2, "Count": len(trips), "End": now - begin, "Max": trips[-1], **quantile}


def respond(port):
    count = 0
    while True:
        w = port.receive()
        if w & LAST:
            return {"Role": 3, "Count": count}
        port.send(w)
        count += 1


def perform(index, role, port):
    if JOB["Pin"]:
        os.sched_setaffinity(0, {JOB["Pin"][index % len(JOB["Pin"])]})
    cpu, switches = usage()
    summary = role(port)
    cpu, switches = usage()[0] - cpu, usage()[1] - switches
    summary["Usage"] = {"CPU": cpu, "Switches": switches}
    return summary


def die_with_parent(parent):
    """Makes the kernel kill this process when its parent ends."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def watch(pid):
    """Ends this process, which may wait for a message, if its child fails. A handler of SIGCHLD could come too early."""
    end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if end.si_code != os.CLD_EXITED or end.si_status != 0:
        print(f"the first process ended by exit or signal {end.si_status}", file=sys.stderr, flush=True)
        os._exit(1)


def first(parent, role, mine, others, results):
    die_with_parent(parent)
    if isinstance(others, Pipe):
        others.conn.close()
    results.send(perform(0, role, mine))


def main():
    # A semaphore is a file in /dev/shm for a moment, which would stay if a signal ended this process then.
    deadly = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, deadly)
    a, b = ports()
    latency = JOB["Measure"] == "latency"
    results, to = FORK.Pipe(False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, deadly)
    child = FORK.Process(target=first, args=(os.getpid(), call if latency else produce, a, b, to))

    child.start()
    threading.Thread(target=watch, args=(child.pid,), daemon=True).start()
    to.close()
    if isinstance(a, Pipe):
        a.conn.close()
    own = perform(1, respond if latency else consume, b)
    summaries = [results.recv(), own]
    child.join()
    json.dump(summaries, sys.stdout)


main()
