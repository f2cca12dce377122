from multiprocessing import Pool

def merge(a, b):
    return f"{a} & {b}"

if __name__ == "__main__":
    names = ["Brown", "Wilson", "Bartlett", "Rivera"]
    with Pool(3) as p:
        for pair in p.starmap(merge, zip(names, names[::-1])):
            print(pair)
