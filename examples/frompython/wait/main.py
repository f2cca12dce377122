import sys
from multiprocessing import Pipe, Process
from multiprocessing.connection import wait

def count(n, w):
    for i in range(3):
        w.send(f"{i} from child {n}")
    w.close()
    sys.exit(n)

if __name__ == "__main__":
    waiting = {}
    for n in range(3):
        r, w = Pipe(duplex=False)
        p = Process(target=count, args=(n, w))
        p.start()
        w.close()
        waiting[r] = None
        waiting[p.sentinel] = p
    while waiting:
        for ready in wait(waiting):
            p = waiting[ready]
            if p is None:
                try:
                    print(ready.recv())
                    continue
                except EOFError:
                    pass
            else:
                p.join()
                print("exit code", p.exitcode)
            del waiting[ready]
