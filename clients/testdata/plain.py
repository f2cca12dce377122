"""Measures multiprocessing.Pipe, for comparison. It does not use mp."""

import multiprocessing
import time


def speed(count):
    """Sends count messages of 64 bytes there and back, and then count messages in one direction. Prints
    how many nanoseconds each takes."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=answer, args=(there, here))
    process.start()
    there.close()
    asking, other = bytes(64), b"\1" + bytes(63)
    begin = time.perf_counter_ns()
    for _ in range(count):
        here.send_bytes(asking)
        here.recv_bytes()
    trip = time.perf_counter_ns() - begin
    begin = time.perf_counter_ns()
    for _ in range(count):
        here.send_bytes(other)
    here.send_bytes(asking)
    here.recv_bytes()
    print(trip // count, (time.perf_counter_ns() - begin) // count)
    here.close()
    process.join()


def answer(connection, other):
    """Sends the messages back whose first byte is 0."""
    other.close()
    try:
        while True:
            message = connection.recv_bytes()
            if message[0] == 0:
                connection.send_bytes(message)
    except EOFError:
        pass
