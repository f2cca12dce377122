"""The client of the tests: client.py MODE [NUMBER...]. See clients_linux_test.go."""

import ctypes
import os
import signal
import sys
import time

import mp


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


Wide = ctypes.c_int64 * 5


def echo():
    with mp.pipe("pipe") as p:
        for message in p:
            p.send(message)


def forward():
    """Sends on through one pipe what it receives from another one. Both have one direction."""
    source, sink = mp.pipe("from"), mp.pipe("to")
    for wrong in (lambda: source.send(b""), sink.recv):
        if number(wrong) != -7:
            sys.exit("the wrong direction is no error")
    for message in source:
        sink.send(message)


def feed(count):
    """Sends count numbers, from the one that the first message has."""
    p = mp.pipe("pipe")
    first = int.from_bytes(p.recv(), sys.byteorder)
    for i in range(first, first + int(count)):
        p.send(i.to_bytes(8, sys.byteorder) + bytes([i % 256]) * (i % 100))


def drain():
    """Receives numbers and sends each tenth back."""
    with mp.pipe("pipe") as p:
        for message in p:
            if int.from_bytes(message[:8], sys.byteorder) % 10 == 0:
                p.send(message[:8])


def objects():
    for p in mp.array("points", Point):
        p.x *= p.x
        p.y *= p.y
    text = mp.byte_string("text")
    text[0:5] = b"HELLO"
    mp.array("in the directory", ctypes.c_int32)[0] = 77
    n = mp.value("n", ctypes.c_int64)
    n.store(n.load() + 1)
    n.store(n.load() + 1)
    small = mp.value("small", ctypes.c_uint8)
    small.store(small.load() + 1)
    wide = mp.value("wide", Wide)
    x = wide.load()
    for i in range(5):
        x[i] += 1
    wide.store(x)
    block = mp.block("block")
    block[1] = block[0] + 1


def publish():
    """Stores (i, i, ...) in a wide value again and again, and checks that it reads no torn one."""
    v = mp.value("wide", Wide)
    i = 0
    while True:
        x = list(v.load())
        if len(set(x)) != 1:
            sys.exit(f"torn: {x}")
        v.store(Wide(*[i] * 5))
        i += 1


# The errors as the numbers that they have in mp.h.
NUMBERS = {
    EOFError: -1, BrokenPipeError: -2, TimeoutError: -3, mp.NotFoundError: -6, mp.MismatchError: -7,
    mp.VersionError: -8, mp.CorruptError: -9, mp.NotAttachedError: -11, mp.ClosedError: -10, ValueError: -4,
}


def number(f):
    try:
        f()
    except tuple(NUMBERS) as e:
        return NUMBERS[type(e)]
    return 0


def errors():
    p = mp.pipe("pipe")
    print(
        number(lambda: mp.array("none", ctypes.c_double)),
        number(lambda: mp.array("points", ctypes.c_double)),
        number(lambda: mp.value("points", Point)),
        number(lambda: mp.array("mp1-123", ctypes.c_double)),
        number(lambda: mp.array("block", ctypes.c_double)),
        number(lambda: mp.block("points")),
        number(lambda: mp.block("none")),
        number(lambda: mp.value("n", ctypes.c_int32)),
        number(lambda: p.recv(0)),
        number(lambda: p.recv(0.02)),
        number(lambda: p.send(bytes(1 << 20), 0)),
        end=" ",
    )
    while number(lambda: p.send(bytes(1000), 0)) == 0:
        pass
    print(number(lambda: p.send(bytes(1000), 0.02)), flush=True)
    p.recv()
    p.close()
    print(number(lambda: p.send(b"x")), flush=True)


def words():
    """Stores n in both halves of one word, and then of another, for n = 1, 2, ..."""
    words = memoryview(mp.array("words", ctypes.c_uint64)).cast("B").cast("Q")
    n = 0
    while True:
        n += 1
        words[0] = words[16] = n << 32 | n


def fork():
    """Is no party in a child of os.fork."""
    p = mp.pipe("pipe")
    n = mp.value("n", ctypes.c_int64)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        say(f"{number(lambda: p.recv(0))} {number(n.load)}")
        os.execvp("sleep", ["sleep", "1000"])
    say(str(pid))
    p.recv()


def pool():
    """Is a worker of a pool."""

    def act(what):
        what = what.decode()
        if what == "exit":
            os._exit(3)
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "sleep":
            time.sleep(3600)
        if what == "key":
            return {}[what]
        raise ValueError("it was told to " + what)

    mp.serve(
        {
            "upper": bytes.upper,
            "norm": mp.in_json(lambda p: {"Norm": (p["X"] ** 2 + p["Y"] ** 2) ** 0.5, "Name": p["Name"]}),
            "square": mp.in_json(lambda x: x * x),
            "pid": mp.in_json(lambda _: os.getpid()),
            "act": act,
            "text": lambda _: "not bytes",
        }
    )


def say(line):
    """Prints a line by one system call, since two processes do so at once."""
    os.write(1, (line + "\n").encode())


globals()[sys.argv[1]](*sys.argv[2:])
