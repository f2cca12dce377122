package cluster_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

// hostEnv has, for a process that TestHosts starts in a namespace, its hostRole in JSON.
const hostEnv = "MP_TEST_HOST"

// A hostRole says what a process of TestHosts is.
type hostRole struct {
	Role string // "server", "caller" or "worker"
	Name string
	URL  string // of the server
	Dir  string // of all hosts
}

// theHostRole returns the role of this process, and false if TestHosts has not started it.
func theHostRole() (r hostRole, ok bool) {
	return r, json.Unmarshal([]byte(os.Getenv(hostEnv)), &r) == nil
}

// recordOfRuns returns the file to which workers append the number of each call that they have finished.
func (r hostRole) recordOfRuns() string { return filepath.Join(r.Dir, "runs") }

var openRecord = sync.OnceValues(func() (*os.File, error) {
	r, _ := theHostRole()
	return os.OpenFile(r.recordOfRuns(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
})

// A hosted is the result of a call, and the host that it ran on.
type hosted struct {
	Square int
	Host   string
}

var onHost = proc.Register("on host", func(ctx context.Context, x int) (hosted, error) {
	record, err := openRecord()
	if err != nil {
		return hosted{}, err
	}
	r, _ := theHostRole()
	select {
	case <-ctx.Done():
		return hosted{}, ctx.Err()
	case <-time.After(time.Duration(x%5) * time.Millisecond): // stands for work
	}
	_, err = record.Write(binary.LittleEndian.AppendUint64(nil, uint64(x)))
	return hosted{x * x, r.Name}, err
})

// TestHostProcess is not a test: TestHosts runs it in network namespaces. What it prints is read by
// hostsProgress.note.
func TestHostProcess(t *testing.T) {
	r, ok := theHostRole()
	if !ok {
		t.Skip("only TestHosts runs it")
	}
	switch r.Role {
	case "server":
		open(t, &cluster.Options{Listen: "0.0.0.0:4222", Token: "t", Dir: filepath.Join(r.Dir, "server")})
		fmt.Println("up")
		select {} // until it is killed
	case "caller":
		callHosts(t, r)
	case "worker":
		workOnHost(t, r)
	}
}

// workOnHost serves the pool and takes values from the queue until it is killed.
func workOnHost(t *testing.T, r hostRole) {
	ctx, c := context.Background(), open(t, &cluster.Options{URL: r.URL})
	q := Must(cluster.OpenQueue[int](Within(t), c, "q", nil))(t)
	served := Async(func() error {
		return cluster.Serve(ctx, c, "p", &cluster.ServeOptions{Workers: 2, Name: r.Name})
	})
	got := Async(func() error {
		for {
			l, err := q.Lease(ctx)
			if err != nil {
				return err
			}
			fmt.Println("got", l.Value()) // first: what is marked done was seen
			if err := l.Done(ctx); err != nil {
				return err
			}
		}
	})
	select {
	case err := <-served:
		t.Fatalf("Serve: %v", err)
	case err := <-got:
		t.Fatalf("taking values: %v", err)
	}
}

// callHosts maps, and puts a value for each 20 calls, until it has made all calls and its standard input
// has ended.
func callHosts(t *testing.T, r hostRole) {
	ctx, c := context.Background(), open(t, &cluster.Options{URL: r.URL})
	p := newPool(t, c, &cluster.PoolOptions{Lease: time.Second, Machines: 1000, Retries: 1000})
	q := newQueue(t, c, 100, &cluster.QueueOptions[int]{Lease: time.Second})
	fmt.Println("ready")
	var enough atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end counts
		enough.Store(true)
	}()
	turns := make(chan struct{}, 1)
	put := Async(func() error {
		v := 0
		for range turns {
			if err := q.Put(ctx, v); err != nil {
				return err
			}
			fmt.Println("put", v)
			v++
		}
		return nil
	})
	calls := 0
	numbers := func(yield func(int) bool) {
		for ; calls < *poolCalls || !enough.Load(); calls++ {
			if calls%20 == 0 {
				select {
				case turns <- struct{}{}:
				default: // the last value is being put
				}
			}
			if !yield(calls) {
				return
			}
		}
	}
	next, ran := 0, make(map[string]int)
	for got, err := range onHost.Map(ctx, p, numbers) {
		WantNil(t, "Map", err)
		if got.Square != next*next {
			t.Fatalf("result %d is %d", next, got.Square)
		}
		ran[got.Host]++
		if next++; next%25 == 0 {
			fmt.Println("results", next, p.Stats().Submitted, strings.Trim(fmt.Sprint(ran), "map[]"))
		}
	}
	Want(t, "results", next, calls)
	close(turns)
	WantNil(t, "Put", Await(t, put, "the values that are put"))
	WantNil(t, "Join of the queue", q.Join(Within(t)))
	WantNil(t, "Close of the pool", p.Close())
	Want(t, "messages of the pool left", Must(cluster.Messages(Within(t), c, "p"))(t), 0)
	fmt.Println("end", calls)
}
