import sys
from multiprocessing import Event, Process

def work(end):
    end.wait()
    sys.exit(3)

if __name__ == "__main__":
    end = Event()
    p = Process(target=work, args=(end,), name="worker", daemon=True)
    p.start()
    p.join(0.1)
    print(p.name, p.is_alive(), p.exitcode)
    end.set()
    p.join()
    print(p.name, p.is_alive(), p.exitcode)
