package proc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"math"
	"reflect"
)

// Parent and child talk over a stream socket, in this order:
//
//  1. The child, in Init, connects to its parent, which sends the crash file and the files of the child's
//     parties, outside frames: see rendezvous.
//  2. The parent sends frameTask, frameName, frameIdentity and frameInput, in this
//     order, and keeps the socket open while the child lives.
//  3. The child sends frameResult, frameError or framePanic at its end.
//
// A frame is:
//
//	kind, 1 byte | length of the payload, 8 bytes, little-endian | payload
const (
	frameTask     = 'T' // name of the task
	frameName     = 'N' // name of the process
	frameIdentity = 'I' // its place in the tree of processes
	frameInput    = 'A' // the task's argument

	frameResult = 'R' // the task's result
	frameError  = 'E' // the task's error: wireError
	framePanic  = 'P' // the task's panic: wirePanic
)

// A request is what a parent asks of a child.
type request struct {
	task, name, identity string
	input                []byte
}

func (r *request) send(w io.Writer) error {
	b := bufio.NewWriter(w)
	_ = writeFrame(b, frameTask, []byte(r.task)) // b keeps the error for Flush
	_ = writeFrame(b, frameName, []byte(r.name))
	_ = writeFrame(b, frameIdentity, []byte(r.identity))
	_ = writeFrame(b, frameInput, r.input)
	return b.Flush()
}

func readRequest(r io.Reader) (*request, error) {
	var payload [4][]byte
	for i, want := range []byte{frameTask, frameName, frameIdentity, frameInput} {
		kind, p, err := readFrame(r)
		if err != nil {
			return nil, err
		}
		if kind != want {
			return nil, fmt.Errorf("frame %q instead of %q", kind, want)
		}
		payload[i] = p
	}
	return &request{string(payload[0]), string(payload[1]), string(payload[2]), payload[3]}, nil
}

// A report is what a child said before it ended.
type report struct {
	err      error
	result   []byte
	returned bool // there is a result
}

// readReport reads what the child of that name says until the end of the socket.
func readReport(r io.Reader, name string) (said report) {
	in := bufio.NewReader(r)
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			return said // the end, or a frame that a killed child left unfinished
		}
		switch kind {
		case frameResult:
			said.result, said.returned = payload, true
		case frameError:
			said.err = decodeError(name, payload)
		case framePanic:
			said.err = decodePanic(name, payload)
		}
	}
}

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

// readFrame reads one frame, and nothing that follows it.
func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint64(head[1:])
	if n > math.MaxInt {
		return 0, nil, fmt.Errorf("frame %q of %d bytes", head[0], n)
	}
	var buf bytes.Buffer
	buf.Grow(int(min(n, firstRead)) + bytes.MinRead)
	if m, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return 0, nil, fmt.Errorf("frame %q ends after %d of %d bytes: %w", head[0], m, n, err)
	}
	return head[0], buf.Bytes(), nil
}

// box lets gob send what it refuses on its own: nil pointers and interfaces.
type box[T any] struct{ V T }

// encode turns v into bytes. Nothing is sent of a type without size.
func encode[T any](v T) ([]byte, error) {
	if reflect.TypeFor[T]().Size() == 0 {
		return nil, nil
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(&box[T]{v}); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func decode[T any](data []byte) (T, error) {
	var b box[T]
	if reflect.TypeFor[T]().Size() == 0 {
		return b.V, nil
	}
	err := gob.NewDecoder(bytes.NewReader(data)).Decode(&b)
	return b.V, err
}
