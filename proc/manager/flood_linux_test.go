package manager

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// A hostile client that sends requests and receives no answers fills its own pipe, and holds up
// nobody else.
func TestFlood(t *testing.T) {
	ctx := Within(t)
	m := Closing(t, Must(New(ctx, nil))(t))
	d := Closing(t, Must(NewDict[string, []byte](ctx, m))(t))
	WantNil(t, "Set", d.Set(ctx, "long", make([]byte, 16<<10)))
	hostile := Must(m.client.dial(ctx))(t)
	key := "long"
	request := Must(appendValue(newRequest(dictGet, d.to.Load().object), mustCodec[string](), &key))(t)
	sent := 0
	for { // until the server has not taken a request for a while
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		err := hostile.Send(short, request)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		WantNil(t, "Send", err)
		sent++
	}
	for range 1000 {
		WantNil(t, "Set of the same dict", d.Set(ctx, "short", []byte("x")))
	}
	Want(t, "sessions", Must(m.Stats(ctx))(t).Sessions, 2)
	WantNil(t, "Close", hostile.Close())
	Eventually(t, "the session has ended", func() bool { return Must(m.Stats(ctx))(t).Sessions == 1 })
	t.Logf("the pipe took %d requests", sent)
}

// A client for which the segment has no space is told so, and gets in when another has left.
func TestNoSession(t *testing.T) {
	ctx := Within(t)
	m := Closing(t, Must(New(ctx, &Options{Size: 1 << 20}))(t))
	var links []link
	for {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		l, err := m.client.dial(short)
		cancel()
		if err != nil {
			WantError(t, "a session too many", err, context.DeadlineExceeded)
			if !strings.Contains(err.Error(), "Options.Size") {
				t.Errorf("a session too many: %v, want a remedy", err)
			}
			break
		}
		links = append(links, l)
	}
	if n := len(links); n == 0 || n > 8 {
		t.Fatalf("%d sessions of 130 KiB in 1 MiB", n)
	}
	for _, l := range links {
		WantNil(t, "Close", l.Close())
	}
	again := Must(m.client.dial(ctx))(t)
	WantNil(t, "Close", again.Close())
}
