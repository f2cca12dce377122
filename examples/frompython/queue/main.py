from multiprocessing import Process, Queue

def produce(q):
    for n in range(10):
        q.put(n)  # blocks while 4 are in the queue
    q.put(None)

if __name__ == "__main__":
    q = Queue(maxsize=4)
    p = Process(target=produce, args=(q,))
    p.start()
    total = 0
    while (n := q.get()) is not None:
        total += n
    print(total)
    p.join()
