package ring_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

type encodedStormArgs struct {
	Segment *shm.Segment
	Queue   *ring.Queue[[]byte]
	Life    uint32
	Gets    bool
}

// encodedStormMessage returns a message of one life, whose length and bytes depend on its number.
func encodedStormMessage(life, number uint32) []byte {
	b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, life), number)
	n := [...]int{10, 90, 300, 2000, 9000}[number%5]
	return append(b, pattern(make([]byte, n), int(life^number))...)
}

var encodedStormer = proc.Register("encoded storm", func(ctx context.Context, in encodedStormArgs) (int, error) {
	o, err := object.Open(in.Segment, stormKind, "book", 1)
	if err != nil {
		return 0, err
	}
	book := newStormBook(o.Bytes())
	for i := range uint32(stormMessages) {
		if !in.Gets {
			if book.stop.Load() != 0 {
				break
			}
			if err := in.Queue.Put(ctx, encodedStormMessage(in.Life, i)); err != nil {
				return int(i), err
			}
			book.put[in.Life].Store(i + 1)
			continue
		}
		m, err := in.Queue.Get(ctx)
		if errors.Is(err, ring.ErrShutdown) {
			break
		}
		if err != nil {
			return int(i), err
		}
		life, number := binary.LittleEndian.Uint32(m), binary.LittleEndian.Uint32(m[4:])
		if life >= stormLives || number >= stormMessages || string(m) != string(encodedStormMessage(life, number)) {
			return int(i), fmt.Errorf("torn message %d of %d", number, life)
		}
		book.got[life*stormMessages+number]++
	}
	return 0, nil
})

// TestEncodedStorm kills putters and getters of encoded values at random moments. Each value is got
// once, but for one for each death, and no storage is in use at the end.
func TestEncodedStorm(t *testing.T) {
	ctx := Within(t)
	kills := 150
	if testing.Short() {
		kills = 20
	}
	seg := Anonymous(t, stormBookSize+1<<20)
	o := Closing(t, Must(object.New(seg, object.Spec{Kind: stormKind, Name: "book", Size: stormBookSize, Fingerprint: 1}))(t))
	book := newStormBook(o.Bytes())
	q := newStored[[]byte](t, seg, stormCapacity, 100<<10) // often full before the slots are

	life := uint32(0)
	start := func(gets bool) *proc.Call[int] {
		p := Must(encodedStormer.Start(ctx, encodedStormArgs{seg, q, life, gets}, nil))(t)
		t.Cleanup(func() { p.Kill() })
		life++
		return p
	}
	procs := []*proc.Call[int]{start(false), start(false), start(true), start(true)}
	killed := [2]int{}
	for range kills {
		time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		WantNil(t, "Kill", procs[i].Kill())
		procs[i].Join(ctx)
		procs[i] = start(i >= 2)
		killed[i/2]++
	}
	book.stop.Store(1)
	for i, p := range procs {
		if i == 2 {
			WantNil(t, "Shutdown", q.Shutdown())
		}
		WantNil(t, "a process that was not killed", Second(p.Result(ctx)))
	}

	messages, missing, extra, doubled := book.account(life)
	t.Logf("%d messages, killed %d putters and %d getters: %d missing, %d extra, %d doubled", messages, killed[0], killed[1], missing, extra, doubled)
	if missing > killed[1] || extra > killed[0] || doubled > 0 {
		t.Error("more than one message missing or extra for each process killed")
	}
	wantUnused(t, q)
}
