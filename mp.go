// Package mp is shared-memory multiprocessing: processes of one program that share
// queues, pipes, locks and values through memory, and go on when any of them is
// killed.
//
// A task is a function that runs in a process of its own. Its argument and its result
// are ordinary Go values, and the objects of this package may stand in them: then parent
// and child share the object.
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//		"log"
//
//		"github.com/seed-2e7ecdea/mp"
//	)
//
//	type job struct {
//		Numbers *mp.Queue[int64]
//		Sum     *mp.Int64
//	}
//
//	// Tasks are package-level variables, so that parent and child both have them.
//	var add = mp.Register("add", func(ctx context.Context, j job) (mp.None, error) {
//		for n, err := range j.Numbers.All(ctx) { // until Shutdown, and the queue is empty
//			if err != nil {
//				return mp.None{}, err
//			}
//			j.Sum.Add(n)
//		}
//		return mp.None{}, nil
//	})
//
//	func main() {
//		mp.Init() // the first line of main: a child runs its task here and goes no further
//		ctx := context.Background()
//		numbers, err := mp.NewQueue[int64](16)
//		check(err)
//		sum, err := mp.NewInt64(0)
//		check(err)
//		workers := mp.NewGroup(ctx)
//		for range 2 {
//			workers.Go(add.With(job{numbers, sum}))
//		}
//		for n := range int64(100) {
//			check(numbers.Put(workers.Context(), n)) // an error if a worker has failed
//		}
//		check(numbers.Shutdown())
//		check(workers.Wait()) // the first failure of a worker ends the others
//		fmt.Println(sum.Load())
//	}
//
//	func check(err error) {
//		if err != nil {
//			log.Fatal(err)
//		}
//	}
//
// A child is the same executable, run again. It runs the package initialization and main up to
// Init, and shares no variables with its parent.
//
// # Names
//
// What Python's multiprocessing has, and what it is called here:
//
//	Process(target=f, args=(x,)); p.start()   p, err := f.Start(ctx, x, nil), where f is a Task
//	p.join(timeout); p.exitcode               p.Join(ctx), p.Result(ctx); p.ExitCode()
//	p.interrupt(), p.terminate(), p.kill()    p.Interrupt(), p.Terminate(), p.Kill(); p.Stop(ctx)
//	p.is_alive(), p.name, p.pid, p.sentinel   p.Alive(), p.Name(), p.PID(), p.Done()
//	Process(daemon=True)                      ProcessOptions{Daemon: true}; Shutdown(ctx)
//	class P(Process): def run(self)           RegisterRunner[P](name), with P's method Run(ctx)
//	active_children(), current_process()      Children(), Self()
//	parent_process(), cpu_count()             Parent(), CPUCount()
//	get_context("forkserver"), "spawn"        ProcessOptions{Method: Warm}, Spawn, InProcess
//	if __name__ == "__main__"                 Init()
//	Pool(n); imap, apply_async                NewPool(n, nil); f.Map(ctx, p, seq), f.Submit(ctx, p, x)
//	subprocess.run, check_output              Command(name, args...); Run(ctx), Output(ctx)
//	Queue(n); put, get                        NewQueue[T](n); Put(ctx, v), Get(ctx)
//	JoinableQueue(n); task_done, join         NewJoinableQueue[T](n); TaskDone, Join(ctx)
//	put_nowait, get_nowait; qsize             TryPut, TryGet; Len
//	Pipe(); send_bytes, recv_bytes, poll      NewPipe(); Send(ctx, b), Receive(ctx), Poll(ctx)
//	Pipe(duplex=False)                        NewSimplex()
//	send(x), recv()                           Send(ctx, conn, x), Receive[T](ctx, conn)
//	connection.wait([c, p.sentinel])          Select(ctx, c, p), also with queues, events, values
//	Lock(); acquire, release; with lock       NewLock(); Acquire(ctx), Release; With(ctx, f)
//	RLock, Semaphore, BoundedSemaphore        NewRLock, NewSemaphore, NewBoundedSemaphore
//	Condition, Event, Barrier                 NewCondition, NewEvent, NewBarrier
//	Value("d", x); v.value                    NewValue(x); Load, Store, Update(ctx, f)
//	Value("i", 0); with lock: v.value += 1    NewInt64(0); Add(1)
//	Array("d", n); RawArray(c_char, n)        NewArray[float64](n); NewBytes(n)
//	shared_memory.SharedMemory(name)          shm.CreateBlock, shm.OpenBlock
//
// TryX never blocks; X(ctx) blocks until ctx is done, and then returns its error. An error
// means that nothing was taken, put or acquired; README.md has the two exceptions. Several goroutines
// may call the methods of one object at once.
//
// # Signatures
//
// All objects also have Close() error.
//
//	Task[In, Out]  Start(ctx, In, *ProcessOptions) (*Call[Out], error); nil means no options
//	               With(In) Job
//	               Apply(ctx, *Pool, In) (Out, error); Submit(ctx, *Pool, In) (*Future[Out], error)
//	               Map(ctx, *Pool, iter.Seq[In]) iter.Seq2[Out, error]; MapUnordered
//	Group          Go(Job); Wait() error; Context() context.Context, done when a job fails
//	Call[Out]      Result(ctx) (Out, error); Join(ctx) error; Kill() error; Done() <-chan struct{}
//	Pool           Close() error, which drains it; Terminate() error; Resize(n) error; Stats() PoolStats
//	Future[Out]    Wait(ctx) (Out, error); Done() <-chan struct{}; Ready() bool
//	Cmd            Pass(name, object) *Cmd; Start(ctx), Run(ctx) error; Output(ctx) ([]byte, error)
//	Queue[T]       Put(ctx, T) error; Get(ctx) (T, error); TryPut(T) error; TryGet() (T, error)
//	               Shutdown() error; All(ctx) iter.Seq2[T, error]; Len() int
//	               GetCase(*T), PutCase(*T): cases of Select
//	Conn           Send(ctx, []byte) error; Receive(ctx) ([]byte, error); Poll(ctx) error
//	ReadEnd        Receive(ctx) ([]byte, error); Poll(ctx) error
//	WriteEnd       Send(ctx, []byte) error
//	Broadcast[T]   Publish(ctx, T) error; Subscribe(*SubscribeOptions) (*Subscriber[T], error)
//	Subscriber[T]  Receive(ctx) (T, error); All(ctx) iter.Seq2[T, error]; Lag, Lost() uint64
//	Lock           Acquire(ctx) error; TryAcquire() error; Release() error
//	               With(ctx, func() error) error; Recover(ctx, func() error) error
//	Semaphore      Acquire(ctx) error; TryAcquire() error; Release() error
//	Condition      Wait(ctx) error; WaitFor(ctx, func() bool) error; Notify(n int) error
//	Event          Set() error; Clear() error; IsSet() bool; Wait(ctx) error
//	Barrier        Wait(ctx) (int, error)
//	Value[T]       Load() T; Store(T); Swap(T) T; Update(ctx, func(*T)) error
//	Int64          Load() int64; Store(int64); Add(int64) int64
//	Array[T]       Len() int; At(i int) T; Set(i int, x T); Slice() []T
//
// # When a process dies
//
// A process may be killed at any instruction. No other process waits for it for ever,
// and each learns of the death by an error:
//
//   - Join and Result return a *RemoteError if the task returned an error, a *PanicError with
//     the stack if it panicked, and an *ExitError with the exit code or the signal otherwise.
//   - If a worker of a Pool dies, the task that it was running fails with *WorkerLostError. The pool
//     goes on with a new worker.
//   - If the owner of a Lock dies, Acquire returns ErrOwnerDied to every caller, without the lock.
//     Recover(ctx, repair) calls repair while it holds the lock, and then frees the lock. If
//     several processes call Recover, one of them calls its repair.
//   - A Value is the old one or the new one, never half of each.
//   - A value of a Queue whose Put returned is delivered once; only a process that is killed inside Get
//     may take one along.
//   - A value of a Broadcast whose Publish returned is received by every lossless Subscriber that
//     lives. A dead one holds nobody back.
//   - When the last holder of a pipe's end is gone, the other end receives what is left, then io.EOF.
//   - Children die with their parent.
//
// # Memory
//
// The objects of this package lie in a segment of shared memory that belongs to the program
// and has no name. It is made when it is first needed, reserves no memory in advance,
// and vanishes with the last process that uses it. A T in a Value or an Array has a fixed size and no
// pointers: numbers, bools, arrays and structs of these. A T in a Queue or a Broadcast may be of any
// type, such as a string, a slice, a map or a struct that holds them; such values are encoded.
//
// # Packages
//
// Everything here is an alias of a type, or one call of a function, of these packages, which also
// have named objects, segments with a bound, and options:
//
//   - proc: tasks, processes, groups, pools
//   - proc/manager: dicts, lists, sets and namespaces in a process of their own
//   - ring: Queue, Pipe and Broadcast; netconn: a pipe as a net.Conn
//   - poll: Select
//   - sync, imported as psync: Lock and its family
//   - value and array: values, numbers, arrays and byte strings
//   - shm: blocks of plain shared memory, segments, handles
//   - futex: waiting on words in shared memory
//
// README.md has the guarantees and limits, docs/from-python.md the programs of Python's documentation
// in Go.
package mp

import (
	"context"
	"iter"

	"github.com/seed-2e7ecdea/mp/proc"
)

// None is the input or output type of a task that has none.
type None = proc.None

// A Task is a function that can run in another process. Start runs it, With makes a
// Job of it and an argument.
type Task[In, Out any] = proc.Task[In, Out]

// A Process is a child of this process: Join, Interrupt, Terminate, Kill, Stop, Alive, PID, Name,
// ExitCode, Done.
type Process = proc.Process

// A Call is a Process with a Result.
type Call[Out any] = proc.Call[Out]

// A Group is a set of processes that belong together: Go starts one, Wait waits for all of them.
// When one process fails, the group ends the others.
type Group = proc.Group

// A Job is a task with its argument, for Group.Go.
type Job = proc.Job

// A Cmd is a program, in any language, that runs as a child under supervision. Command makes it.
type Cmd = proc.Cmd

// ProcessOptions configure a new process: its name, directory, environment and standard files. A
// nil pointer means all defaults.
type ProcessOptions = proc.Options

// A Pool is a set of worker processes that run tasks: see Task.Map, Task.Submit and Task.Apply.
// Close drains it, Terminate kills the workers.
type Pool = proc.Pool

// PoolOptions configure a pool: an initialization, limits of time, memory and tasks, retries. A nil
// pointer means all defaults.
type PoolOptions = proc.PoolOptions

// MapOptions configure a Map: the chunk, progress, whether to go on after a failure.
type MapOptions = proc.MapOptions

// CallOptions configure the calls of a task by a pool: a key, a timeout, retries.
type CallOptions = proc.CallOptions

// A Future is the result of a pool's call, which may not have ended yet: Wait, Done, Ready.
type Future[Out any] = proc.Future[Out]

// The errors of a process that failed.
type (
	// A WorkerLostError says that a pool's worker ended while it ran the task.
	WorkerLostError = proc.WorkerLostError
	// A RemoteError is the error that a task returned.
	RemoteError = proc.RemoteError
	// A PanicError is a task's panic, with its stack.
	PanicError = proc.PanicError
	// An ExitError is the end of a process by an exit code or a signal.
	ExitError = proc.ExitError
)

// A Runner is a task as a type, whose fields are the argument: see RegisterRunner.
type Runner = proc.Runner

// A Current is this process: see Self.
type Current = proc.Current

// A ParentProcess is the parent of this process: see Parent.
type ParentProcess = proc.ParentProcess

// Spares are processes that were started ahead, for the start method Warm.
type Spares = proc.Spares

// The start methods, for ProcessOptions.Method.
const (
	// Spawn runs the executable again. It is the default.
	Spawn = proc.Spawn
	// Warm uses a process that was started ahead.
	Warm = proc.Warm
	// InProcess runs the task in a goroutine.
	InProcess = proc.InProcess
)

// Init runs the task that the parent chose, if this process is a child, and then does not return.
// It must be the first line of main, and of TestMain. In a process that is not a child it returns
// at once.
func Init() { proc.Init() }

// Register makes a task of f. The name must be unique in the program. Call it for a package-level
// variable, so that it has run before Init in parent and child.
func Register[In, Out any](name string, f func(ctx context.Context, in In) (Out, error)) *Task[In, Out] {
	return proc.Register(name, f)
}

// ForeignTask makes a task that workers in other languages run: see PoolOptions.Command.
func ForeignTask[In, Out any](name string) *Task[In, Out] { return proc.ForeignTask[In, Out](name) }

// NewPool starts a pool of that many workers; 0 means one for each CPU.
func NewPool(workers int, o *PoolOptions) (*Pool, error) { return proc.NewPool(workers, o) }

// RegisterRunner makes a task of a type with a method Run. Its rules are those of Register.
func RegisterRunner[R Runner](name string) *Task[R, None] { return proc.RegisterRunner[R](name) }

// NewGroup returns a group without processes. When ctx is done, all of its processes are ended.
func NewGroup(ctx context.Context) *Group { return proc.NewGroup(ctx) }

// Command returns a Cmd that runs the program name with these arguments. Pass gives it objects of
// this package, which it uses through the clients in C and Python.
func Command(name string, args ...string) *Cmd { return proc.Command(name, args...) }

// Children yields the children of this process that have not ended, oldest first.
func Children() iter.Seq[*Process] { return proc.Children() }

// Self returns this process: its name ("main" if it is not a child), process id, and whether it is
// a daemon.
func Self() *Current { return proc.Self() }

// Parent returns the process that started this one, nil if this process is not a child.
func Parent() *ParentProcess { return proc.Parent() }

// CPUCount returns how many CPUs this process may keep busy, by its CPU affinity and the CPU quota
// of its cgroup.
func CPUCount() int { return proc.CPUCount() }

// Wait waits for the children that run now and are not daemons.
func Wait(ctx context.Context) error { return proc.Wait(ctx) }

// Shutdown ends daemons and waits for the other children; it ends those that run when ctx is done.
// Call it at the end of main: when main returns, the kernel kills all children.
func Shutdown(ctx context.Context) error { return proc.Shutdown(ctx) }
