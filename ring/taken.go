package ring

import "sync/atomic"

// A taken is a message that was taken and is not decoded.
type taken struct {
	buf  *[]byte
	msg  []byte         // before it is taken: memory that may be used if a message is the value
	err  error          // the message can't be read
	word *atomic.Uint64 // slot of the message, if it is leased
}

// end gives the memory of the message back.
func (t *taken) end() {
	if t.buf != nil {
		putBuffer(t.buf)
	}
}
