from ctypes import Structure, c_double
from multiprocessing import Array, Process

class Point(Structure):
    _fields_ = [("x", c_double), ("y", c_double)]

def modify(a):
    with a.get_lock():
        for p in a:
            p.x **= 2
            p.y **= 2

if __name__ == "__main__":
    a = Array(Point, [(1.875, -6.25), (-5.75, 2.0), (2.375, 9.5)])
    child = Process(target=modify, args=(a,))
    child.start()
    child.join()
    for p in a:
        print(p.x, p.y)
