"""Prints how long operations of Python's multiprocessing take: python3 speed.py [ROUNDS]

It measures each cheap operation ROUNDS times, with ROUNDS/10 small messages and ROUNDS/1000
large ones. Operations other than messages are called by one process alone.
"""

import multiprocessing
import sys
import time


def each(f, n):
    """Returns how many nanoseconds a call of f takes."""
    begin = time.perf_counter()
    for _ in range(n):
        f()
    return (time.perf_counter() - begin) / n * 1e9


def echo(connection, n):
    for _ in range(n):
        connection.send_bytes(connection.recv_bytes())


def send(connection, size, n):
    message = b"x" * size
    for _ in range(n):
        connection.send_bytes(message)


def put(queue, size, n):
    message = b"x" * size
    for _ in range(n):
        queue.put(message)


def beside(target, *args):
    process = multiprocessing.Process(target=target, args=args)
    process.start()
    return process


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    lock, semaphore, event = multiprocessing.Lock(), multiprocessing.Semaphore(1), multiprocessing.Event()
    value, array = multiprocessing.Value("q", 0), multiprocessing.Array("q", 4096)

    def store():
        value.value = 1

    def increment():
        with value.get_lock():
            value.value += 1

    for what, f in {
        "Lock, acquire and release": lambda: (lock.acquire(), lock.release()),
        "Semaphore, acquire and release": lambda: (semaphore.acquire(), semaphore.release()),
        "Event.is_set": event.is_set,
        "Value, read": lambda: value.value,
        "Value, written": store,
        "Value += 1 under its lock": increment,
        "Array, an element read": lambda: array[5],
    }.items():
        print(f"{what:32} {each(f, n):10.0f} ns")

    n = max(n // 10, 1)
    for size, many in (64, n), (1 << 20, max(n // 100, 1)):
        here, there = multiprocessing.Pipe()
        process = beside(send, there, size, many)
        print(f"{f'Pipe, {size} bytes':32} {each(here.recv_bytes, many):10.0f} ns a message")
        process.join()
    here, there = multiprocessing.Pipe()
    process = beside(echo, there, n)
    message = b"x" * 64

    def trip():
        here.send_bytes(message)
        here.recv_bytes()

    print(f"{'Pipe, 64 bytes there and back':32} {each(trip, n):10.0f} ns")
    process.join()
    queue = multiprocessing.Queue()
    process = beside(put, queue, 64, n)
    print(f"{'Queue, 64 bytes':32} {each(queue.get, n):10.0f} ns a message")
    process.join()


if __name__ == "__main__":
    main()
