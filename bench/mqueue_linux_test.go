package bench

import (
	"errors"
	"io"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// TestMessageQueueEnd receives a last message, alone and with another one after it.
func TestMessageQueueEnd(t *testing.T) {
	for _, further := range []bool{false, true} {
		q, err := sys.MessageQueue(mqueueMessages, 64)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		p := &messageQueuePort{in: int(q.Fd()), out: int(q.Fd()), buf: make([]byte, 64)}
		want := io.EOF
		if err := p.send(numbered(0, 1)|markLast, 1); err != nil {
			t.Fatal(err)
		}
		if further {
			want = ErrVerify
			if err := p.send(numbered(0, 2), 1); err != nil {
				t.Fatal(err)
			}
		}
		var y tally
		if n, err := p.receive(&y, 3); n != 1 || !errors.Is(err, want) {
			t.Errorf("with a further message: %t: received %d messages, %v, want 1 and %v", further, n, err, want)
		}
	}
}
