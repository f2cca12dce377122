from multiprocessing import Event, Process

def serve(started):
    print("the daemon starts", flush=True)
    started.set()
    Event().wait()  # for ever
    print("not printed")

def work(started):
    started.wait()
    print("the worker ends")

if __name__ == "__main__":
    started = Event()
    Process(target=serve, args=(started,), daemon=True).start()
    Process(target=work, args=(started,)).start()
    started.wait()
