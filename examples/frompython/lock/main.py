from multiprocessing import Lock, Process

def say(lock, n):
    with lock:
        print("hello world", n)

if __name__ == "__main__":
    lock = Lock()
    for n in range(10):
        Process(target=say, args=(lock, n)).start()
