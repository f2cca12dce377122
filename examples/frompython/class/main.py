from multiprocessing import Process, SimpleQueue

class Greeter(Process):
    def __init__(self, greeting, name, results):
        super().__init__()
        self.greeting, self.who, self.results = greeting, name, results

    def run(self):
        text = f"{self.greeting} {self.who}\n"
        print(text, end="", flush=True)
        self.results.put(len(text))

if __name__ == "__main__":
    results = SimpleQueue()
    p = Greeter("good morning", "bob", results)
    p.start()
    print(results.get())
    p.join()
