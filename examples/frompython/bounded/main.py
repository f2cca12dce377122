from multiprocessing import Process, Queue, SimpleQueue

def produce(q, first):
    for n in range(first, first + 100):
        q.put(n)

def consume(q, sums):
    total = 0
    while (n := q.get()) is not None:
        total += n
    sums.put(total)

if __name__ == "__main__":
    q, sums = Queue(4), SimpleQueue()
    producers = [Process(target=produce, args=(q, 100 * i)) for i in range(4)]
    consumers = [Process(target=consume, args=(q, sums)) for _ in range(3)]
    for p in producers + consumers:
        p.start()
    for p in producers:
        p.join()
    for _ in consumers:
        q.put(None)
    print(sum(sums.get() for _ in consumers))
    for p in consumers:
        p.join()
