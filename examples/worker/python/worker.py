"""Sums up the squares of elements of a shared array, as its orders say."""

import ctypes
import struct

import mp

numbers = mp.array("numbers", ctypes.c_double)
with mp.pipe("orders") as orders:
    for order in orders:
        begin, end = struct.unpack("=QQ", order)
        orders.send(struct.pack("=d", sum(x * x for x in numbers[begin:end])))
