package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

type point struct{ X, Y float64 }

type record struct {
	Name   string
	At     time.Time
	Big    *big.Int
	Points []point
	ByName map[string]*point
	Next   *record
	Any    any
	Nil    *point
	hidden int
}

func init() { ring.RegisterType[point]() }

var (
	echoInt    = echo[int]("int")
	echoString = echo[string]("string")
	echoBytes  = echo[[]byte]("bytes")
	echoArray  = echo[[3]int16]("array")
	echoMap    = echo[map[string][]int]("map")
	echoEmpty  = echo[struct{}]("empty")
	echoPoint  = echo[*point]("pointer")
	echoAny    = echo[any]("any")
	echoRecord = echo[record]("record")
	echoError  = echo[error]("error")
	echoChan   = echo[struct{ C chan int }]("chan")
	echoFunc   = echo[func()]("func")
)

func echo[T any](name string) *proc.Task[T, T] {
	return proc.Register("echo "+name, func(_ context.Context, v T) (T, error) { return v, nil })
}

var nothing = proc.Register("nothing", func(context.Context, struct{}) (struct{}, error) {
	return struct{}{}, nil
})

// block runs until it is killed.
var block = proc.Register("block", func(ctx context.Context, _ struct{}) (struct{}, error) {
	<-ctx.Done()
	return struct{}{}, ctx.Err()
})

// untilEOF runs until its standard input ends.
var untilEOF = proc.Register("until EOF", func(context.Context, struct{}) (int64, error) {
	return io.Copy(io.Discard, os.Stdin)
})

var exit = proc.Register("exit", func(_ context.Context, code int) (struct{}, error) {
	os.Exit(code)
	return struct{}{}, nil
})

var errCustom = errors.New("custom error of the test")

func init() { proc.RegisterError(errCustom) }

// fail returns the error of that name.
var fail = proc.Register("fail", func(_ context.Context, name string) (struct{}, error) {
	err := map[string]func() error{
		"plain":   func() error { return errors.New("plain") },
		"EOF":     func() error { return io.EOF },
		"wrapped": func() error { return fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", errCustom)) },
		"joined":  func() error { return errors.Join(context.Canceled, context.DeadlineExceeded) },
		"mp's":    func() error { return errors.Join(psync.ErrBroken, ring.ErrShutdown, array.ErrTooLarge, shm.ErrSize) },
		"closed":  func() error { return fmt.Errorf("%w", proc.ErrClosed) },
		"no file": func() error {
			_, err := os.Open("/nonexistent/file")
			return err
		},
	}[name]
	return struct{}{}, err()
})

var doPanic = proc.Register("panic", func(_ context.Context, how string) (struct{}, error) {
	switch how {
	case "string":
		panicDeeply("boom")
	case "error":
		panic(fmt.Errorf("wrapped: %w", io.EOF))
	case "runtime":
		var p *point
		p.X = 1
	case "goroutine":
		go panicDeeply("boom elsewhere")
		select {}
	case "fatal":
		var mu sync.Mutex
		mu.Unlock()
	case "Goexit":
		runtime.Goexit()
	}
	return struct{}{}, nil
})

//go:noinline
func panicDeeply(v any) { panic(v) }

// badResult returns what can't be sent.
var badResult = proc.Register("bad result", func(context.Context, struct{}) (any, error) {
	return make(chan int), nil
})

var environ = proc.Register("environ", func(context.Context, struct{}) ([]string, error) {
	return os.Environ(), nil
})

var workDir = proc.Register("work dir", func(context.Context, struct{}) (string, error) {
	return os.Getwd()
})

var args = proc.Register("args", func(context.Context, struct{}) ([]string, error) {
	return os.Args, nil
})

// files returns what descriptors the process has.
var files = proc.Register("files", func(context.Context, struct{}) (map[string]string, error) {
	return openFiles(), nil
})

var endOfPipe = proc.Register("end of a pipe", func(context.Context, *ring.Conn) (struct{}, error) {
	return struct{}{}, nil
})

var shout = proc.Register("shout", func(context.Context, struct{}) (int64, error) {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 0, err
	}
	fmt.Fprint(os.Stderr, "whisper")
	return io.Copy(os.Stdout, bytes.NewReader(bytes.ToUpper(in)))
})

type identity struct {
	PID, Parent int
	Name        string
}

var whoami = proc.Register("whoami", func(context.Context, struct{}) (identity, error) {
	return identity{os.Getpid(), os.Getppid(), proc.Self().Name()}, nil
})

// tree starts two children of its own unless depth is 0, and returns the names of
// all, itself first. It is registered by init since it refers to itself.
var tree *proc.Task[int, []string]

func init() {
	tree = proc.Register("tree", func(ctx context.Context, depth int) ([]string, error) {
		names := []string{proc.Self().Name()}
		if depth == 0 {
			return names, nil
		}
		for range 2 {
			p, err := tree.New(depth-1, nil)
			if err != nil {
				return nil, err
			}
			if err := p.Start(ctx); err != nil {
				return nil, err
			}
			below, err := p.Result(ctx)
			if err != nil {
				return nil, err
			}
			names = append(names, below...)
		}
		return names, nil
	})
}

// announce prints its pid and then runs until it is killed.
var announce = proc.Register("announce", func(ctx context.Context, _ struct{}) (struct{}, error) {
	fmt.Println(os.Getpid())
	<-ctx.Done()
	return struct{}{}, ctx.Err()
})

// middle starts announce, with the environment it is given, and waits for it.
var middle = proc.Register("middle", func(ctx context.Context, env []string) (struct{}, error) {
	p, err := announce.New(struct{}{}, &proc.Options{Env: env})
	if err != nil {
		return struct{}{}, err
	}
	if err := p.Start(ctx); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, p.Join(ctx)
})

// runPlain runs this program as an ordinary program, and returns what it prints.
var runPlain = proc.Register("run plain", func(context.Context, struct{}) (string, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), modeEnv+"=plain")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
})

// hidden is a task that the child does not have.
var hidden = func() *proc.Task[int, int] {
	if os.Getenv(hideEnv) != "" {
		return nil
	}
	return echo[int]("hidden")
}()
