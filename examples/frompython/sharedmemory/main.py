from multiprocessing import Process
from multiprocessing.managers import SharedMemoryManager

def double(numbers):
    for i in range(len(numbers)):
        numbers[i] *= 2

if __name__ == "__main__":
    with SharedMemoryManager() as smm:
        numbers = smm.ShareableList([2, 3, 5, 7])
        p = Process(target=double, args=(numbers,))
        p.start()
        p.join()
        print(list(numbers))
