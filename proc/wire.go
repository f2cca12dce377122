package proc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Parent and child talk over a stream socket, in this order:
//
//  1. The child, in Init, connects to its parent, which sends the crash file and the files of the
//     child's parties, outside frames: see rendezvous.
//  2. The parent sends frameRequest and frameInput, and keeps the socket open while the child
//     lives.
//  3. A spare sends frameParked, or frameError, when it has run its Preload. Then it waits for its
//     standard files and the files of its parties, outside frames, and sends frameTaken. Step 2
//     again.
//  4. The child sends frameResult, frameShared, frameError or framePanic at its end. After
//     frameShared, it waits for frameKept from its parent before it exits: see Process.keep.
//
// A frame is:
//
//	kind, 1 byte | length of the payload, 8 bytes, little-endian | payload
const (
	frameRequest = 'Q' // a request without its input
	frameInput   = 'A' // the task's argument
	frameKept    = 'K' // the parent holds the objects of the result

	frameParked = 'W' // the spare waits
	frameTaken  = 'T' // the spare has its files
	frameResult = 'R' // the task's result
	frameShared = 'S' // the task's result, in which there are handles of objects
	frameError  = 'E' // the task's error: wireError
	framePanic  = 'P' // the task's panic: wirePanic
)

// A request is what a parent asks of a child.
type request struct {
	task           string // empty: there is nothing to run; only of a spare
	name, identity string
	parentName     string
	parentPID      int
	authKey        []byte
	daemon         bool
	method         Method
	grace, linger  time.Duration
	memory         int64
	park           bool     // run the task ahead, as Preload, and then wait for another request
	env            []string // of a spare that runs a task: its whole environment
	dir            string   // of a spare that runs a task: its working directory; empty: it stays
	input          []byte
}

func (r *request) send(w io.Writer) error { return sendRequest(w, r.encode(), r.input) }

// sendRequest sends a request that is encoded, and its input.
func sendRequest(w io.Writer, encoded, input []byte) error {
	b := bufio.NewWriter(w)
	_ = writeFrame(b, frameRequest, encoded) // b keeps the error for Flush
	_ = writeFrame(b, frameInput, input)
	return b.Flush()
}

// requestFields is how many fields an encoded request has.
const requestFields = 14

// encode returns all of r but the input: its fields as text, each with its length before it.
func (r *request) encode() []byte {
	fields := [requestFields]string{
		r.task, r.name, r.identity, r.parentName, strconv.Itoa(r.parentPID), string(r.authKey),
		strconv.FormatBool(r.daemon), strconv.Itoa(int(r.method)),
		strconv.FormatInt(int64(r.grace), 10), strconv.FormatInt(int64(r.linger), 10), strconv.FormatInt(r.memory, 10),
		strconv.FormatBool(r.park), strings.Join(r.env, "\x00"), r.dir,
	}
	var b []byte
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}

// decode fills r. The parent is the same program, so a field is malformed only if the socket is
// not the parent's.
func (r *request) decode(b []byte) error {
	var fields [requestFields]string
	for i := range fields {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return fmt.Errorf("request: field %d is cut short", i)
		}
		fields[i] = string(b[used : used+int(n)])
		b = b[used+int(n):]
	}
	var err error
	number := func(i int) int64 {
		n, nerr := strconv.ParseInt(fields[i], 10, 64)
		if nerr != nil {
			err = fmt.Errorf("request: field %d: %w", i, nerr)
		}
		return n
	}
	*r = request{
		task: fields[0], name: fields[1], identity: fields[2], parentName: fields[3],
		parentPID: int(number(4)), authKey: []byte(fields[5]), daemon: fields[6] == "true",
		method: Method(number(7)), grace: time.Duration(number(8)), linger: time.Duration(number(9)),
		memory: number(10), park: fields[11] == "true", dir: fields[13],
	}
	if fields[12] != "" {
		r.env = strings.Split(fields[12], "\x00")
	}
	return err
}

// readRequest reads a request, and nothing that follows it.
func readRequest(in io.Reader) (*request, error) {
	head, err := readKind(in, frameRequest)
	if err != nil {
		return nil, err
	}
	r := new(request)
	if err := r.decode(head); err != nil {
		return nil, err
	}
	r.input, err = readKind(in, frameInput)
	return r, err
}

// readKind reads a frame of that kind.
func readKind(r io.Reader, want byte) ([]byte, error) {
	kind, payload, err := readFrame(r)
	if err == nil && kind != want {
		err = fmt.Errorf("frame %q instead of %q", kind, want)
	}
	return payload, err
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

// tell writes one frame. It writes a small one by a single system call.
func tell(w io.Writer, kind byte, payload []byte) error {
	b := bufio.NewWriter(w)
	if err := writeFrame(b, kind, payload); err != nil {
		return err
	}
	return b.Flush()
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
