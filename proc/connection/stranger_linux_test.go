package connection_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A stranger is the testing.TB of helpers that run in another process. What would fail a test there ends the
// process's task with a panic, which fails the test that started it.
type stranger struct{ testing.TB }

func (stranger) Helper()                           {}
func (stranger) Cleanup(func())                    {} // the process ends soon
func (stranger) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (stranger) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// A post is what another process is given that goes to a point, says that it is there, and stays until it is
// told to go on. There it is killed or stopped.
type post struct {
	Network, Address string
	Memory           *shm.Segment
	Cells            *testkit.Cells
}

const (
	cellListens = iota // the process listens: at this port, if it does so over TCP
	cellThere          // it is at its point
	cellGoOn           // it may go on
	postCells
)

func newPost(t testing.TB, network, address string) post {
	memory := testkit.Anonymous(t, 1<<20)
	return post{network, address, memory, testkit.NewCells(t, memory, postCells)}
}

// listens says that the process listens at the address.
func (p post) listens(address net.Addr) {
	port := uint32(1)
	if a, ok := address.(*net.TCPAddr); ok {
		port = uint32(a.Port)
	}
	p.Cells.Set(cellListens, port)
}

// listener waits until the process listens, and returns the address.
func (p post) listener(t testing.TB) string {
	t.Helper()
	p.Cells.Await(t, cellListens, 1)
	if p.Network == "unix" {
		return p.Address
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.Cells.At(cellListens).Load())))
}

// stay says that the process is at its point, and returns when it may go on.
func (p post) stay(ctx context.Context) error {
	p.Cells.Set(cellThere, 1)
	return p.Cells.Until(ctx, cellGoOn, 1)
}

// await waits until the process is at its point.
func (p post) await(t testing.TB) { t.Helper(); p.Cells.Await(t, cellThere, 1) }

// goOn lets a process go on that was stopped at its point.
func (p post) goOn(t testing.TB, other *proc.Call[proc.None]) {
	t.Helper()
	p.Cells.Set(cellGoOn, 1)
	testkit.Continue(t, other)
}

// networks are those of the tests in which a process is killed or stopped, each with an unused address.
func networks() map[string]string {
	return map[string]string{"unix": abstract(), "tcp": "127.0.0.1:0"}
}
