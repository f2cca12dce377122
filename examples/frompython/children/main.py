from multiprocessing import Process, current_process

def work(n):
    print(current_process().name, "works on", n)

if __name__ == "__main__":
    children = [Process(target=work, args=(n,), name=f"child {n}") for n in range(6)]
    for child in children:
        child.start()
    for child in children:
        child.join()
