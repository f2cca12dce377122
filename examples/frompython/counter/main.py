from multiprocessing import Process, Value

def count(n):
    for _ in range(1000):
        with n.get_lock():
            n.value += 1

if __name__ == "__main__":
    n = Value("q", 0)
    children = [Process(target=count, args=(n,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(n.value)
