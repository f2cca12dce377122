package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// endPoint is a process's end of a pipe, which is in Seg.
type endPoint struct {
	Seg  *shm.Segment
	Conn *ring.Conn
}

// sit holds its input until it is killed.
var sit = proc.Register("sit", func(ctx context.Context, _ endPoint) (proc.None, error) {
	<-ctx.Done()
	return proc.None{}, ctx.Err()
})

// passOn gives its input to a child, which holds it until it is killed.
var passOn = proc.Register("pass on", func(ctx context.Context, in endPoint) (proc.None, error) {
	p, err := sit.Start(ctx, in, nil)
	if err != nil {
		return proc.None{}, err
	}
	if err := in.Conn.Close(); err != nil {
		return proc.None{}, err
	}
	return proc.None{}, p.Join(ctx)
})

// Wherever a parent or its child is killed while the child gets what is its own, both end, and what the child held is
// given up: the other end of its pipe finds the end of file.
func TestKilledHandOver(t *testing.T) {
	if !crash.Enabled {
		t.Skip("needs a binary built with -tags crashpoints")
	}
	run := func(t *testing.T, point crash.Point, task *proc.Task[endPoint, proc.None]) {
		seg, err := shm.Anonymous(1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer seg.Close()
		ours, theirs, err := ring.NewPipe(seg, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		out, stdout := pipe(t)
		p := start(t, task, endPoint{seg, theirs}, &proc.Options{
			Env: []string{fmt.Sprintf("%s=%v", crash.Env, point)}, Stdout: stdout,
		})
		stdout.Close()
		if err := theirs.Close(); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p.Process, -9)
		if _, err := io.ReadAll(out); err != nil { // every descendant has the other end
			t.Fatalf("a descendant lives on: %v", err)
		}
		if msg, err := ours.Receive(within(t)); !errors.Is(err, io.EOF) {
			t.Errorf("Receive: %q, %v, want EOF", msg, err)
		}
		wantParties(t, seg, "afterwards", 1)
	}
	for point := range crash.Points(crash.StartBorn, crash.StartReleased) {
		t.Run("parent/"+point.String(), func(t *testing.T) { run(t, point, passOn) })
	}
	for point := range crash.Points(crash.InitConnected, crash.InitAdopted) {
		t.Run("child/"+point.String(), func(t *testing.T) { run(t, point, sit) })
	}
}
