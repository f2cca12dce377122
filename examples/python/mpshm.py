"""Reads and writes the objects of a named segment of mp from Python.

    segment = mpshm.Segment("name")
    points = segment.array("points", Point)   # a ctypes array, in place
    n = segment.value("n", ctypes.c_int64)    # a ctypes object, in place

The layout of a segment is described in mp's docs/design. Python does not attach to the
segment: it takes no locks and wakes no waiters, and an object must not be removed while Python
uses it. A value of up to 8 bytes is one word: use value(). Read a larger one with read().
"""

import ctypes
import mmap
import os
import struct
from multiprocessing import resource_tracker, shared_memory

MAGIC = b"mp shm\xf0\n"
READY = 2
VALUE, ARRAY, BYTES = 13, 14, 15  # kinds of objects


def attach(name, **kwargs):
    """Opens or creates a SharedMemory that Python does not remove when it exits.

    Before 3.13, Python removes each SharedMemory that it has opened when it exits,
    and warns if one was removed before. Remove this one with unlink().
    """
    try:
        return shared_memory.SharedMemory(name, track=False, **kwargs)
    except TypeError:  # before Python 3.13
        block = shared_memory.SharedMemory(name, **kwargs)
        resource_tracker.unregister(block._name, "shared_memory")
        return block


def unlink(name):
    """Removes a SharedMemory that attach() opened or created."""
    os.unlink("/dev/shm/" + name)


class Segment:
    """A named segment of mp."""

    def __init__(self, name):
        with open("/dev/shm/" + name, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), 0)
        magic, version, order = struct.unpack_from("=8sII", self.memory, 0)
        if magic != MAGIC or version != 3 or order != 0x01020304:
            raise ValueError(name + " is not a segment of version 3")

    def find(self, name, kind):
        """Returns the offset of the object with that name and kind in the segment."""
        (parties,) = struct.unpack_from("=I", self.memory, 24)
        (used,) = struct.unpack_from("=I", self.memory, 384)  # never look further: it is not there
        directory = 512 + 128 * (parties + 1)
        for entry in range(directory, directory + 640 * used, 640):
            state, _, is_kind, length, _, offset, _ = struct.unpack_from("=IIIIQQQ", self.memory, entry)
            if state == READY and self.memory[entry + 432 : entry + 432 + length] == name.encode():
                if is_kind != kind:
                    raise TypeError(f"{name} is of kind {is_kind}")
                return offset
        raise KeyError(name)

    def array(self, name, element, kind=ARRAY):
        """Returns the array, in place, as a ctypes array of elements of that type."""
        offset = self.find(name, kind)
        size, length = struct.unpack_from("=QQ", self.memory, offset + 8)
        if size != ctypes.sizeof(element):
            raise TypeError(f"{name} has elements of {size} bytes")
        return (element * length).from_buffer(self.memory, offset + 128)

    def bytes(self, name):
        """Returns the byte string, in place, as a ctypes array with .value and .raw."""
        return self.array(name, ctypes.c_char, BYTES)

    def value(self, name, kind):
        """Returns a value of up to 8 bytes, in place, as a ctypes object of that type."""
        offset = self.find(name, VALUE)
        copies, size = struct.unpack_from("=4xIQ", self.memory, offset)
        if copies != 0 or size != ctypes.sizeof(kind):
            raise TypeError(f"{name} has {copies} copies of {size} bytes")
        return kind.from_buffer(self.memory, offset + 256)

    def read(self, name, kind):
        """Returns a copy of a value of more than 8 bytes. On x86, the copy is never torn."""
        offset = self.find(name, VALUE)
        copies, size, stride = struct.unpack_from("=4xIQQ", self.memory, offset)
        if copies == 0 or size != ctypes.sizeof(kind):
            raise TypeError(f"{name} has {copies} copies of {size} bytes")
        number = ctypes.c_uint64.from_buffer(self.memory, offset + 256)
        while True:
            n = number.value
            at = offset + 384 + n % copies * stride
            copy = kind.from_buffer_copy(self.memory[at : at + size])
            if number.value - n < copies - 1:
                return copy
