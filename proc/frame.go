package proc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// A frame is what parent and child say to each other over the control socket:
//
//	kind, 1 byte | length of the payload, 8 bytes, little-endian | payload
//
// The parent sends frameTask, frameName, frameIdentity and frameInput, in this
// order, and keeps the socket open while the child lives. The child sends
// frameHello when it is in Init, and at its end one of the others.
const (
	frameTask     = 'T' // name of the task
	frameName     = 'N' // name of the process
	frameIdentity = 'I' // its place in the tree of processes
	frameInput    = 'A' // the task's argument

	frameHello  = 'H' // the child is in Init
	frameResult = 'R' // the task's result
	frameError  = 'E' // the task's error: wireError
	framePanic  = 'P' // the task's panic: wirePanic
)

// firstRead bounds what is allocated for a frame before its bytes arrive.
const firstRead = 1 << 20

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	var head [9]byte
	head[0] = kind
	binary.LittleEndian.PutUint64(head[1:], uint64(len(payload)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}

func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint64(head[1:])
	if n > math.MaxInt {
		return 0, nil, fmt.Errorf("proc: frame %q of %d bytes", head[0], n)
	}
	var buf bytes.Buffer
	buf.Grow(int(min(n, firstRead)) + bytes.MinRead)
	if m, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return 0, nil, fmt.Errorf("proc: frame %q ends after %d of %d bytes: %w", head[0], m, n, err)
	}
	return head[0], buf.Bytes(), nil
}
