package manager

import (
	"context"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// newSession returns a session of a server that has no process, over a link on which nothing comes.
func newSession(t testing.TB) *session {
	c := &session{
		server: &server{table: newTable(7, 1000)}, link: noLink{}, attached: make(map[uint64]int),
		pins: make(map[uint64][]uint64), running: make(map[uint64]context.CancelFunc),
	}
	c.ctx, c.end = context.WithCancel(t.Context())
	return c
}

// requests returns functions that have a session do requests on a dict.
func requests(t testing.TB) (set, get func()) {
	c := newSession(t)
	id := c.add(kindDict, 1, newDict())
	var out []byte
	do := func(msg []byte) func() {
		return func() {
			var err error
			if out, err = c.handle(out[:0], msg); err == nil {
				err = c.send(out)
			}
			if err != nil || out[8] != statusDone {
				t.Fatalf("answer %q, %v", out, err)
			}
		}
	}
	set = do(appendSized(appendSized(newRequest(dictSet, id), []byte("key")), []byte("value")))
	return set, do(appendSized(newRequest(dictGet, id), []byte("key")))
}

// An answering link answers each request by the same result.
type answering struct {
	noLink
	answer []byte
}

func (a *answering) Send(_ context.Context, request []byte) error {
	copy(a.answer[:8], request[1:9])
	return nil
}

func (a *answering) ReceiveInto(_ context.Context, buf []byte) (int, error) {
	return copy(buf, a.answer), nil
}

// answered returns a dict all of whose keys have the value n.
func answered(t testing.TB, n int) *Dict[string, int] {
	codecs := Must(dictCodecsOf[string, int]())(t)
	c := newClient(1, nil, nil)
	c.link = &answering{answer: Must(appendValue(make([]byte, answerHead), codecs.value, &n))(t)}
	d := new(Dict[string, int])
	d.to.Store(&attachment{client: c, object: 1, codecs: codecs})
	return d
}

// A call is so short that an allocation, and what it leaves to the garbage collector, would be a good
// part of it.
func TestAllocations(t *testing.T) {
	if Race {
		t.Skip("the race detector allocates")
	}
	set, get := requests(t)
	set()
	d := answered(t, 12345)
	for _, test := range []struct {
		name string
		most float64
		f    func()
	}{
		{"set in the server", 0, set},
		{"get in the server", 0, get},
		{"get in the client: the request", 1, func() {
			Want(t, "the value", Must(d.Get(t.Context(), "key"))(t), 12345)
		}},
	} {
		if got := testing.AllocsPerRun(1000, test.f); got > test.most {
			t.Errorf("%s: %v allocations, want at most %v", test.name, got, test.most)
		}
	}
}

// BenchmarkRequest measures what a call costs besides the way between the processes.
func BenchmarkRequest(b *testing.B) {
	set, get := requests(b)
	d := answered(b, 12345)
	for _, bench := range []struct {
		name string
		f    func()
	}{
		{"server/set", set},
		{"server/get", get},
		{"client/get", func() { WantNil(b, "Get", Second(d.Get(b.Context(), "key"))) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.f()
			}
		})
	}
}
