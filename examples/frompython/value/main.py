from multiprocessing import Array, Process, Value

def set_all(n, a):
    n.value = 3.1415927
    for i in range(len(a)):
        a[i] = -a[i]

if __name__ == "__main__":
    n = Value("d", 0.0)
    a = Array("i", range(10))
    p = Process(target=set_all, args=(n, a))
    p.start()
    p.join()
    print(n.value)
    print(a[:])
