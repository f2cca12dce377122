// Command wordcount counts the words of a text in several processes.
//
// Usage:
//
//	wordcount [file]
//
// The parent puts the lines into one queue, from which all workers get them. The workers send their
// counts through one pipe, of which all of them hold the same end. The parent receives until Receive
// returns io.EOF: by then, all workers have closed that end or ended.
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

	"github.com/seed-2e7ecdea/mp"
)

const text = `
Humpty Dumpty sat on a wall,
Humpty Dumpty had a great fall;
All the King's horses and all the King's men
Couldn't put Humpty together again.
`

// A piece is a part of a line: what lies in a queue has a fixed size.
type piece struct {
	Len  uint32
	Text [252]byte
}

type job struct {
	Pieces *mp.Queue[piece]
	Counts *mp.Conn
}

var count = mp.Register("count", func(ctx context.Context, j job) (mp.None, error) {
	counts := make(map[string]int)
	for p, err := range j.Pieces.All(ctx) {
		if err != nil {
			return mp.None{}, err
		}
		for word := range strings.FieldsFuncSeq(string(p.Text[:p.Len]), between) {
			counts[strings.ToLower(word)]++
		}
	}
	msg, err := json.Marshal(counts)
	return mp.None{}, errors.Join(err, j.Counts.Send(ctx, msg))
})

// between reports whether r lies between words.
func between(r rune) bool { return strings.ContainsRune(" \t.,;:!?\"()", r) }

func main() {
	mp.Init()
	var in io.Reader = strings.NewReader(text)
	if len(os.Args) > 1 {
		f, err := os.Open(os.Args[1])
		check(err)
		defer f.Close()
		in = f
	}
	ctx := context.Background()
	pieces, err := mp.NewQueue[piece](1024)
	check(err)
	ours, theirs, err := mp.NewPipe()
	check(err)
	workers := mp.NewGroup(ctx)
	for range 3 {
		workers.Go(count.With(job{pieces, theirs}))
	}
	check(theirs.Close()) // from here on only the workers hold that end
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		for rest := lines.Text(); rest != ""; {
			var p piece
			n := copy(p.Text[:], rest)
			if n < len(rest) { // cut between words, if that is possible
				n = cmp.Or(max(0, strings.LastIndexFunc(rest[:n], between)), n)
			}
			p.Len, rest = uint32(n), rest[n:]
			check(pieces.Put(workers.Context(), p))
		}
	}
	check(lines.Err())
	check(pieces.Shutdown())
	sum := make(map[string]int)
	for {
		msg, err := ours.Receive(ctx)
		if err == io.EOF {
			break
		}
		check(err)
		var counts map[string]int
		check(json.Unmarshal(msg, &counts))
		for word, n := range counts {
			sum[word] += n
		}
	}
	check(workers.Wait())
	words := slices.SortedFunc(maps.Keys(sum), func(a, b string) int {
		return cmp.Or(sum[b]-sum[a], strings.Compare(a, b))
	})
	for _, word := range words[:min(5, len(words))] {
		fmt.Println(sum[word], word)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
