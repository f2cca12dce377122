package manager

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

// noLink is a link on which nothing can be sent.
type noLink struct{}

func (noLink) Send(context.Context, []byte) error { return nil }

func (noLink) Receive(context.Context) ([]byte, error) { return nil, errors.ErrUnsupported }

func (noLink) ReceiveInto(context.Context, []byte) (int, error) { return 0, errors.ErrUnsupported }

func (noLink) Close() error { return nil }

// TestHostileRequests gives a session requests of random bytes, most of which are almost right. The
// server must stay up, and the end of the session must leave nothing.
func TestHostileRequests(t *testing.T) {
	c := newSession(t)
	s := c.server
	rnd := rand.New(rand.NewPCG(1, 2))
	answers := 0
	for range 20_000 {
		msg := newRequest(byte(rnd.IntN(opList+16)), rnd.Uint64N(40))
		msg[1] = byte(rnd.Uint64())
		if msg[0] == opNew {
			msg = appendUint64(appendUint64(msg, rnd.Uint64N(6)), rnd.Uint64N(2))
		}
		for range rnd.IntN(4) {
			switch rnd.IntN(4) {
			case 0:
				msg = appendUint64(msg, rnd.Uint64N(8))
			case 1:
				msg = appendUint64(msg, rnd.Uint64())
			case 2:
				ref := reference{manager: 7, object: rnd.Uint64N(40), token: rnd.Uint64N(80), door: "d", alive: "a"}
				msg = appendSized(msg, ref.text())
			case 3:
				msg = appendSized(msg, []byte{byte(rnd.IntN(4))})
			}
		}
		if rnd.IntN(8) == 0 {
			msg = msg[:rnd.IntN(len(msg)+1)]
		}
		out, err := c.handle(nil, msg)
		if err != nil && len(msg) >= requestHead {
			t.Fatalf("request %q ended the session: %v", msg, err)
		}
		if len(out) > 0 && out[8] != statusError {
			answers++
		}
	}
	if answers < 100 {
		t.Errorf("only %d requests were done", answers)
	}
	c.close()
	for token := range s.table.passes {
		s.table.release(s.table.passes[token].object)
	}
	// Only circles may be left.
	for id, e := range s.table.objects {
		if e.refs <= 0 {
			t.Errorf("object %d is left with %d users", id, e.refs)
		}
	}
}
