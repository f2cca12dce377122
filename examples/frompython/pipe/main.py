from multiprocessing import Lock, Pipe, Process

def work(out, lock, name):
    with lock:  # two processes must not write to one end at once
        out.send("hello from " + name)

if __name__ == "__main__":
    receiver, sender = Pipe(duplex=False)
    lock = Lock()
    for name in "ann", "bob":
        Process(target=work, args=(sender, lock, name)).start()
    sender.close()
    while True:
        try:
            print(receiver.recv())
        except EOFError:
            break
