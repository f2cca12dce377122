"""Squares the points of a segment of mp: python3 points.py NAME"""

import ctypes
import sys

import mpshm


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


class Summary(ctypes.Structure):
    _fields_ = [("count", ctypes.c_int32), ("low", Point), ("high", Point)]


segment = mpshm.Segment(sys.argv[1])
points = segment.array("points", Point)
for p in points:
    p.x **= 2
    p.y **= 2
text = segment.bytes("text")
text.value = text.value.upper()
segment.value("n", ctypes.c_int32).value = len(points)
summary = segment.read("summary", Summary)
print("Python:", summary.count, "points from", (summary.low.x, summary.low.y), "to", (summary.high.x, summary.high.y))
