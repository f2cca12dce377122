package value_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/leak"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

var sink uint64

func benchLoad[T any](b *testing.B) {
	var x T
	v := newValue(b, Anonymous(b, room), x)
	for b.Loop() {
		x = v.Load()
	}
	_ = x
}

func benchStore[T any](b *testing.B) {
	var x T
	v := newValue(b, Anonymous(b, room), x)
	for b.Loop() {
		v.Store(x)
	}
}

func BenchmarkLoad(b *testing.B) {
	b.Run("of=atomic", func(b *testing.B) {
		var x atomic.Uint64
		for b.Loop() {
			sink += x.Load()
		}
	})
	b.Run("of=Uint64", func(b *testing.B) {
		v := Closing(b, Must(value.NewUint64(Anonymous(b, room), "", 1, nil))(b))
		for b.Loop() {
			sink += v.Load()
		}
	})
	b.Run("of=8", benchLoad[uint64])
	b.Run("of=16", benchLoad[[2]uint64])
	b.Run("of=64", benchLoad[[8]uint64])
	b.Run("of=4096", benchLoad[big])
}

func BenchmarkStore(b *testing.B) {
	b.Run("of=atomic", func(b *testing.B) {
		var x atomic.Uint64
		for b.Loop() {
			x.Store(1)
		}
	})
	b.Run("of=8", benchStore[uint64])
	b.Run("of=64", benchStore[[8]uint64])
	b.Run("of=4096", benchStore[big])
}

func BenchmarkUpdate(b *testing.B) {
	ctx := context.Background()
	seg := Anonymous(b, room)
	v := newValue(b, seg, int64(0))
	w := newValue(b, seg, newBig(0))
	n := Closing(b, Must(value.NewInt64(seg, "", 0, nil))(b))
	b.Run("of=8", func(b *testing.B) {
		for b.Loop() {
			v.Update(ctx, func(x *int64) { *x++ })
		}
	})
	b.Run("of=4096", func(b *testing.B) {
		for b.Loop() {
			w.Update(ctx, func(x *big) { x[0]++ })
		}
	})
	b.Run("of=Add", func(b *testing.B) {
		for b.Loop() {
			n.Add(1)
		}
	})
}

// The flags of TestSpeed, which alternates between Go and C on the same memory.
var (
	rounds   = flag.Int("rounds", 0, "rounds of TestSpeed; 0: none")
	accesses = flag.Int("accesses", 20_000_000, "accesses in each round of TestSpeed")
)

// yardstick is the C program. "yardstick FILE OFFSET load|store|copy COUNT" prints how many
// nanoseconds an access takes.
const yardstick = `
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
int main(int argc, char **argv) {
	struct stat s;
	int fd = open(argv[1], O_RDWR);
	fstat(fd, &s);
	char *p = mmap(0, s.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	_Atomic uint64_t *word = (void *)(p + atol(argv[2]));
	char *copies = p + atol(argv[2]) + 128;
	long n = atol(argv[4]);
	volatile uint64_t sink = 0;
	uint64_t sum = 0;
	double begin = now();
	if (!strcmp(argv[3], "load"))
		for (long i = 0; i < n; i++) sum += atomic_load(word);
	else if (!strcmp(argv[3], "store"))
		for (long i = 0; i < n; i++) atomic_store(word, i);
	else
		for (long i = 0; i < n; i++) {
			uint64_t x[8], k;
			do {
				k = atomic_load(word);
				memcpy(x, copies + k % 4 * 128, sizeof x);
				atomic_signal_fence(memory_order_seq_cst);
			} while (atomic_load(word) - k >= 3);
			sum += x[0] + x[7];
		}
	sink = sum;
	printf("%f\n", (now() - begin) / n);
	return (int)(sink & 0);
}
`

// TestSpeed compares the speed of values with that of C:
//
//	go test ./value -run TestSpeed -v -rounds=11
func TestSpeed(t *testing.T) {
	if *rounds == 0 {
		t.Skip("needs -rounds")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs cc")
	}
	source, program := filepath.Join(t.TempDir(), "y.c"), filepath.Join(t.TempDir(), "y")
	WantNil(t, "WriteFile", os.WriteFile(source, []byte(yardstick), 0o600))
	if out, err := exec.Command(cc, "-O2", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	name := leak.Name("speed")
	seg := Closing(t, Must(shm.Create(name, room, nil))(t))
	t.Cleanup(func() { shm.Unlink(name) })
	word := Closing(t, Must(value.NewUint64(seg, "", 1, nil))(t))
	plain := newValue(t, seg, uint64(1))
	wide := newValue(t, seg, [8]uint64{1})
	n := *accesses
	for _, test := range []struct {
		what, inC string
		offset    int
		f         func() (sum uint64)
	}{
		{"Uint64.Word", "load", word.Offset(), func() (sum uint64) {
			w := word.Word()
			for range n {
				sum += w.Load()
			}
			return sum
		}},
		{"Uint64.Load", "load", word.Offset(), func() (sum uint64) {
			for range n {
				sum += word.Load()
			}
			return sum
		}},
		{"Value[uint64].Load", "load", plain.Offset(), func() (sum uint64) {
			for range n {
				sum += plain.Load()
			}
			return sum
		}},
		{"Uint64.Store", "store", word.Offset(), func() uint64 {
			for i := range n {
				word.Store(uint64(i))
			}
			return 0
		}},
		{"Value[uint64].Store", "store", plain.Offset(), func() uint64 {
			for i := range n {
				plain.Store(uint64(i))
			}
			return 0
		}},
		{"Load of 64 bytes", "copy", wide.Offset(), func() (sum uint64) {
			for range n {
				x := wide.Load()
				sum += x[0] + x[7]
			}
			return sum
		}},
	} {
		var inGo, inC []float64
		for range *rounds {
			begin := time.Now()
			sink += test.f()
			inGo = append(inGo, float64(time.Since(begin))/float64(n))
			out := Must(exec.Command(program, "/dev/shm/"+name, fmt.Sprint(test.offset), test.inC, fmt.Sprint(n)).Output())(t)
			inC = append(inC, Must(strconv.ParseFloat(strings.TrimSpace(string(out)), 64))(t))
		}
		slices.Sort(inGo)
		slices.Sort(inC)
		m := *rounds / 2
		t.Logf("%s: median %.2f ns, C %.2f, ratio %.2f; best %.2f, C %.2f, ratio %.2f; %.0f million/s", test.what,
			inGo[m], inC[m], inGo[m]/inC[m], inGo[0], inC[0], inGo[0]/inC[0], 1e3/inGo[m])
	}
}
