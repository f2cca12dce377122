package connection_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
)

// nobody is an ordinary user, and a group, without any right to what root has.
const nobody = 65534

// asNobody upgrades a connection as another user.
var asNobody = testkit.Task("connection as nobody", func(ctx context.Context, at upgradePost) (proc.None, error) {
	c, err := connectAsNobody(ctx, at)
	if err != nil {
		return proc.None{}, err
	}
	defer c.Close()
	return proc.None{}, echoUpgraded(ctx, c)
})

func connectAsNobody(ctx context.Context, at upgradePost) (*connection.Conn, error) {
	if err := becomeNobody(); err != nil {
		return nil, err
	}
	if !at.Accepts {
		return connection.Dial(ctx, "unix", at.Post.Address, anyUser(options()))
	}
	l, err := connection.Listen("unix", at.Post.Address, anyUser(options()))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	at.Post.listens(l.Addr())
	return l.Accept(ctx)
}

// becomeNobody makes this process one of another user, as a server does that gives up root's rights.
func becomeNobody() error {
	for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)} {
		if err != nil {
			return err
		}
	}
	if _, err := os.ReadFile("/proc/1/environ"); err == nil {
		return fmt.Errorf("user %d can read what is root's", os.Getuid())
	}
	return nil
}

// anyUser lets all users connect.
func anyUser(o *connection.Options) *connection.Options {
	o.AllowUID = func(int) bool { return true }
	return o
}

// TestUpgrade_Users moves a connection between root and another user to memory, with each of them as the side that
// accepted. Each learns of the other's death.
func TestUpgrade_Users(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	for name, accepts := range map[string]bool{"root accepts": false, "nobody accepts": true} {
		for _, end := range []string{"closed", "killed"} {
			t.Run(name+"/"+end, func(t *testing.T) {
				c, p := meet(t, accepts, anyUser(options()), func(at upgradePost) *proc.Call[proc.None] {
					return testkit.Start(t, asNobody, at)
				})
				u := upgrade(testkit.Within(t), c)
				if end == "closed" {
					u.echoes(t, p)
					return
				}
				testkit.WantNil(t, "Upgrade", u.err)
				testkit.WantNil(t, "Send", u.pipe.Send(testkit.Within(t), []byte("hello")))
				testkit.Want(t, "message", string(testkit.Must(u.pipe.Receive(testkit.Within(t)))(t)), "hello")
				testkit.Kill(t, p)
				u.ended(t)
			})
		}
	}
}
