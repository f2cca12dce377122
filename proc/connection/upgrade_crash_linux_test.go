package connection_test

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An upgradePost is what a process is given that upgrades a connection, and then sends each message back.
type upgradePost struct {
	Post    post
	Accepts bool
}

var upgrader = testkit.Task("connection upgrader", func(ctx context.Context, at upgradePost) (proc.None, error) {
	var c *connection.Conn
	if at.Accepts {
		l := testkit.Must(connection.Listen(at.Post.Network, at.Post.Address, options()))(stranger{})
		defer l.Close()
		at.Post.listens(l.Addr())
		c = testkit.Must(l.Accept(ctx))(stranger{})
	} else {
		c = testkit.Must(connection.Dial(ctx, at.Post.Network, at.Post.Address, options()))(stranger{})
	}
	defer c.Close()
	return proc.None{}, echoUpgraded(ctx, c)
})

// echoUpgraded upgrades c, and sends each message of the pipe back.
func echoUpgraded(ctx context.Context, c *connection.Conn) error {
	pipe, memory, err := c.Upgrade(ctx, nil)
	if err != nil {
		return err
	}
	defer memory.Close()
	for {
		msg, err := pipe.Receive(ctx)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = pipe.Send(ctx, msg)
		}
		if err != nil {
			return err
		}
	}
}

// meet returns this process's end of a connection with the process that start starts.
func meet(t *testing.T, accepts bool, o *connection.Options, start func(at upgradePost) *proc.Call[proc.None]) (*connection.Conn, *proc.Call[proc.None]) {
	t.Helper()
	at := upgradePost{newPost(t, "unix", abstract()), accepts}
	if accepts {
		p := start(at)
		return testkit.Closing(t, testkit.Must(connection.Dial(testkit.Within(t), "unix", at.Post.listener(t), o))(t)), p
	}
	l := testkit.Closing(t, testkit.Must(connection.Listen("unix", at.Post.Address, o))(t))
	p := start(at)
	return testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t)), p
}

// An upgraded is the result of an Upgrade.
type upgraded struct {
	pipe   *ring.Conn
	memory *shm.Segment
	err    error
}

func upgrade(ctx context.Context, c *connection.Conn) upgraded {
	pipe, memory, err := c.Upgrade(ctx, nil)
	return upgraded{pipe, memory, err}
}

// echoes checks that the other process sends a message back, and ends when the memory is closed.
func (u upgraded) echoes(t *testing.T, p *proc.Call[proc.None]) {
	t.Helper()
	testkit.WantNil(t, "Upgrade", u.err)
	testkit.WantNil(t, "Send", u.pipe.Send(testkit.Within(t), []byte("hello")))
	testkit.Want(t, "message", string(testkit.Must(u.pipe.Receive(testkit.Within(t)))(t)), "hello")
	testkit.WantNil(t, "Close", u.memory.Close())
	testkit.Result(t, p)
}

// ended checks that the other process has ended: Upgrade has failed with one of the errors, or the pipe ends.
func (u upgraded) ended(t *testing.T, errs ...error) {
	t.Helper()
	if u.err != nil {
		testkit.WantNilOr(t, "Upgrade", u.err, errs...)
		return
	}
	testkit.WantNil(t, "Receive", end(u.pipe.Receive(testkit.Within(t))))
	testkit.WantNil(t, "Close", u.memory.Close())
}

// A stepOfUpgrade says what the other side gets if a process dies or is stopped at a point.
type stepOfUpgrade struct {
	point   crash.Point
	accepts bool // the process is the side that accepted
	// The other side's Upgrade needs nothing more of the process. If it died, Upgrade may fail by that, too, or the pipe ends.
	enough bool
	errs   []error // of the other side's Upgrade if the process dies
}

var stepsOfUpgrade = []stepOfUpgrade{
	{crash.UpgradeMade, true, false, []error{io.EOF}},
	{crash.UpgradeOffered, true, true, []error{syscall.EPIPE}},
	{crash.UpgradeReleased, true, true, []error{syscall.EPIPE}},
	{crash.UpgradeAnswered, true, true, nil},
	{crash.UpgradeReceived, false, false, []error{io.EOF}},
	{crash.UpgradeAdopted, false, false, []error{io.EOF}},
	{crash.UpgradeOpened, false, false, []error{io.EOF}},
	{crash.UpgradeTaken, false, true, nil},
}

// TestCrash_Upgrade kills a process at each step of Upgrade while the other side is in it, and before.
func TestCrash_Upgrade(t *testing.T) {
	testkit.NeedCrashPoints(t)
	for _, s := range stepsOfUpgrade {
		start := func(at upgradePost) *proc.Call[proc.None] {
			return testkit.StartToDie(t, upgrader, at, s.point, 1)
		}
		t.Run(s.point.String(), func(t *testing.T) {
			c, p := meet(t, s.accepts, options(), start)
			done := testkit.Async(func() upgraded { return upgrade(testkit.Within(t), c) })
			testkit.Killed(t, p)
			begin := time.Now()
			testkit.Await(t, done, "Upgrade").ended(t, s.errs...)
			t.Logf("the other side knows of the death after %v", time.Since(begin))
			testkit.WantError(t, "Send by the socket", c.Send(testkit.Within(t), nil), afterUpgrade(s))
		})
		if !s.accepts || s.point == crash.UpgradeAnswered {
			continue // it does not come to the point before the other side is in Upgrade
		}
		t.Run(s.point.String()+" before the other side", func(t *testing.T) {
			c, p := meet(t, true, options(), start)
			testkit.Killed(t, p)
			u := upgrade(testkit.Within(t), c)
			if u.err == nil {
				t.Error("Upgrade with a process that has died succeeds")
			}
			u.ended(t, s.errs...)
		})
	}
}

// afterUpgrade returns the error of the socket when the other process has died at a step.
func afterUpgrade(s stepOfUpgrade) error {
	if s.point == crash.UpgradeMade {
		return syscall.EPIPE // no offer has come, so Upgrade has not closed the connection
	}
	return connection.ErrClosed
}

// TestCrash_UpgradeStopped stops a process at each step of Upgrade. If the other side needs it, its Upgrade blocks until
// its context ends. Then the process goes on.
func TestCrash_UpgradeStopped(t *testing.T) {
	testkit.NeedCrashPoints(t)
	for _, s := range stepsOfUpgrade {
		t.Run(s.point.String(), func(t *testing.T) {
			c, p := meet(t, s.accepts, options(), func(at upgradePost) *proc.Call[proc.None] {
				return testkit.StartToStop(t, upgrader, at, s.point, 1)
			})
			ctx, cancel := context.WithCancel(testkit.Within(t))
			defer cancel()
			done := testkit.Async(func() upgraded { return upgrade(ctx, c) })
			testkit.AwaitStopped(t, p)
			if s.enough {
				u := testkit.Await(t, done, "Upgrade")
				testkit.Continue(t, p)
				u.echoes(t, p)
				return
			}
			cancel()
			testkit.WantError(t, "Upgrade", testkit.Await(t, done, "Upgrade").err, context.Canceled)
			testkit.Continue(t, p)
			if s.accepts {
				upgrade(testkit.Within(t), c).echoes(t, p) // the side that dialed is as before
				return
			}
			var failure *proc.RemoteError
			if err := p.Join(testkit.Within(t)); !errors.As(err, &failure) {
				t.Errorf("the process's Upgrade: %v, want that it fails", err)
			}
		})
	}
}
