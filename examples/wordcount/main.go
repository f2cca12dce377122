// Command wordcount counts the words of a text in several processes.
//
// Usage:
//
//	wordcount [file]
//
// The lines go to the workers through one Queue: who is free takes the next. At
// the end the queue is shut down, which lets the workers drain it. Each then
// sends what it has counted through one Pipe, whose end they all hold. The parent
// receives until io.EOF: that is when the last worker has let go of the end,
// whether it finished or was killed.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

const workers = 3

// text is counted when no file is named.
const text = `
Humpty Dumpty sat on a wall,
Humpty Dumpty had a great fall;
All the King's horses and all the King's men
Couldn't put Humpty together again.
`

// A piece is a part of a line. What lies in a queue holds no pointers, so the
// text stands in the piece itself.
type piece struct {
	Len  uint32
	Text [252]byte
}

func (p *piece) String() string { return string(p.Text[:p.Len]) }

// A job is what a worker gets. The queue and the pipe travel by their handles.
type job struct {
	Pieces *ring.Queue[piece]
	Counts *ring.Conn
}

var count = proc.Register("count", func(ctx context.Context, j job) (pieces int, err error) {
	counts := make(map[string]int)
	for {
		p, err := j.Pieces.Get(ctx)
		if errors.Is(err, ring.ErrShutdown) {
			break // and drained
		}
		if err != nil {
			return pieces, err
		}
		pieces++
		for word := range strings.FieldsFuncSeq(p.String(), between) {
			counts[strings.ToLower(word)]++
		}
	}
	msg, err := json.Marshal(counts)
	if err != nil {
		return pieces, err
	}
	return pieces, j.Counts.Send(ctx, msg)
})

// between tells whether r lies between words.
func between(r rune) bool { return strings.ContainsRune(" \t.,;:!?\"()", r) }

func main() {
	proc.Init()
	var in io.Reader = strings.NewReader(text)
	if len(os.Args) > 1 {
		f, err := os.Open(os.Args[1])
		if err != nil {
			log.Fatal(err)
		}
		defer f.Close()
		in = f
	}
	counts, err := wordCount(context.Background(), in)
	if err != nil {
		log.Fatal(err)
	}
	words := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if c := counts[b] - counts[a]; c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for _, word := range words[:min(5, len(words))] {
		fmt.Println(counts[word], word)
	}
}

func wordCount(ctx context.Context, in io.Reader) (map[string]int, error) {
	seg, err := shm.Anonymous(8<<20, nil)
	if err != nil {
		return nil, err
	}
	defer seg.Close()
	pieces, err := ring.NewQueue[piece](seg, "pieces", 1024, nil)
	if err != nil {
		return nil, err
	}
	// The longest message is a little less than half of the capacity.
	ours, theirs, err := ring.NewPipe(seg, "counts", &ring.PipeOptions{Capacity: 1 << 21})
	if err != nil {
		return nil, err
	}

	// Without the counts of one worker the others' are worth nothing: a failure
	// ends it all.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var children []*proc.Call[int]
	for range workers {
		c, err := count.New(job{pieces, theirs}, nil)
		if err != nil {
			return nil, err
		}
		if err := c.Start(ctx); err != nil {
			return nil, err
		}
		children = append(children, c)
		go func() {
			if err := c.Join(ctx); err != nil {
				fail(err)
			}
		}()
	}
	// From here on only the workers hold their end.
	if err := theirs.Close(); err != nil {
		return nil, err
	}

	if err := putAll(ctx, pieces, in); err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	if err := pieces.Shutdown(); err != nil {
		return nil, err
	}
	sum, err := receiveAll(ctx, ours)
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	for _, c := range children {
		if err := c.Join(ctx); err != nil {
			return nil, cmp.Or(context.Cause(ctx), err)
		}
	}
	return sum, nil
}

// putAll puts the lines of in, each in as many pieces as it needs.
func putAll(ctx context.Context, pieces *ring.Queue[piece], in io.Reader) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		for rest := lines.Text(); rest != ""; {
			var p piece
			n := copy(p.Text[:], rest)
			if n < len(rest) { // cut between words, if that is possible
				if i := strings.LastIndexFunc(rest[:n], between); i > 0 {
					n = i
				}
			}
			p.Len, rest = uint32(n), rest[n:]
			if err := pieces.Put(ctx, p); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// receiveAll adds up the workers' counts.
func receiveAll(ctx context.Context, c *ring.Conn) (map[string]int, error) {
	sum := make(map[string]int)
	for {
		msg, err := c.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return nil, err
		}
		var counts map[string]int
		if err := json.Unmarshal(msg, &counts); err != nil {
			return nil, err
		}
		for word, n := range counts {
			sum[word] += n
		}
	}
}
