//go:build linux && !race && !386

// The result does not depend on the processor on which the models are checked, so 386 and the race detector
// do not check them again.

package model

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/leak"
)

// large is for CI. Without it, the tests take a third of the time.
var large = flag.Bool("model.large", false, "search the large state spaces, too")

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// A search is a set of parameters with which a model is checked.
type search struct {
	defs  string
	large bool
}

// A mutation is a fault in a model, often one that the code once had. With these parameters, spin
// must find an error.
type mutation struct {
	name   string // without MUT_
	defs   string
	reason string // part of spin's error
	large  bool
}

const (
	stuck    = "invalid end state"  // a thread waits for ever
	violated = "assertion violated" // a claim is false
)

var models = []struct {
	name      string
	searches  []search
	mutations []mutation
}{
	{
		name: "gate",
		searches: []search{
			{defs: "THREADS=4 PUBLISHERS=2 NEWS=3 CANCELS=1"},
			{defs: "THREADS=4 PUBLISHERS=1 NEWS=4 CANCELS=1 MOVES=1"},
		},
		mutations: []mutation{
			{name: "NO_FENCE", defs: "THREADS=3 NEWS=3 CANCELS=1", reason: stuck},
			{name: "NO_RECHECK", defs: "THREADS=3 NEWS=3 CANCELS=1", reason: stuck},
			{name: "NOTIFY_UNFENCED", defs: "THREADS=3 NEWS=3 CANCELS=1", reason: stuck},
			{name: "DONE_EARLY", defs: "THREADS=3 NEWS=3 CANCELS=1", reason: stuck},
			{name: "DONE_AFTER_MOVE", defs: "THREADS=3 NEWS=3 CANCELS=1", reason: stuck},
			{name: "DONE_STAYS", defs: "THREADS=3 NEWS=3 CANCELS=1", reason: stuck},
		},
	},
	{
		name: "lock",
		searches: []search{
			{defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=1"},
			{defs: "THREADS=2 ROUNDS=1 DEATHS=1 CANCELS=1 MOVES=1 ABANDONS=1 FALLEN"},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=1 SHARED"},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=1 CANCELS=0"},
			{defs: "THREADS=2 ROUNDS=2 DEATHS=0 CANCELS=1 STOPS=1"},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=0 STOPS=1"},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=1 CANCELS=0 STOPS=1", large: true},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=1 CANCELS=1", large: true},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=2 CANCELS=0", large: true},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=1 CANCELS=0 FALLEN", large: true},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=1 CANCELS=0 SHARED", large: true},
			{defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=1 ABANDONS=1 FALLEN", large: true},
		},
		mutations: []mutation{
			{name: "NO_FENCE", defs: "THREADS=2 ROUNDS=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_RECHECK", defs: "THREADS=2 ROUNDS=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "EPOCH_LATE", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "HEIR_DIED_OWNER", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=0", reason: violated},
			{name: "STALE_OWNER", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=0", reason: violated},
			{name: "DEAD_TWICE", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=0", reason: violated},
			{name: "TAKE_OVER_GRANTED", defs: "THREADS=3 ROUNDS=1 DEATHS=1 CANCELS=0 FALLEN", reason: violated, large: true},
			{name: "NO_RENOUNCE", defs: "THREADS=2 ROUNDS=2 OTHERS=1 DEATHS=0 CANCELS=1", reason: stuck},
			{name: "HEIR_OF_ITSELF", defs: "THREADS=2 ROUNDS=2 OTHERS=1 DEATHS=0 CANCELS=1", reason: stuck},
			{name: "NO_ROUSE", defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=1 SHARED", reason: stuck},
			{name: "NO_REARM", defs: "THREADS=3 ROUNDS=2 OTHERS=1 DEATHS=0 CANCELS=1 NO_HEIRS", reason: stuck},
			{name: "NO_TAKE_BACK", defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=0 STOPS=1", reason: stuck},
			{name: "NO_RELOOK", defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=0 STOPS=1", reason: stuck},
		},
	},
	{
		name: "queue",
		searches: []search{
			{defs: "THREADS=2 PUTTERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=1"},
			{defs: "THREADS=2 PUTTERS=1 MESSAGES=3 SLOTS=2 DEATHS=1 CANCELS=0"},
			{defs: "THREADS=2 PUTTERS=1 MESSAGES=4 SLOTS=2 DEATHS=1 CANCELS=0", large: true},
			{defs: "THREADS=3 PUTTERS=2 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=1"},
			{defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=1 CANCELS=0"},
			{defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=2 DEATHS=0 CANCELS=0 EARLY"},
			{defs: "THREADS=3 PUTTERS=2 MESSAGES=1 SLOTS=1 DEATHS=1 CANCELS=0", large: true},
			{defs: "THREADS=3 PUTTERS=1 MESSAGES=2 SLOTS=2 DEATHS=0 CANCELS=1", large: true},
			{defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=1 CANCELS=1", large: true},
			{defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=1 CANCELS=0 EARLY", large: true},
			{defs: "THREADS=3 PUTTERS=2 MESSAGES=1 SLOTS=2 DEATHS=0 CANCELS=1 EARLY", large: true},
		},
		mutations: []mutation{
			{name: "NO_FENCE", defs: "THREADS=2 PUTTERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_RECHECK", defs: "THREADS=2 PUTTERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "FREE_EARLY", defs: "THREADS=2 PUTTERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: violated},
			{name: "EPOCH_LATE", defs: "THREADS=2 PUTTERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=2 PUTTERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "NO_REPAIR", defs: "THREADS=2 PUTTERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "NO_ADOPT", defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "SWEPT_LATE", defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck, large: true},
			{name: "NO_SHUT_CHECK", defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=0 EARLY", reason: violated},
			{name: "DRAINED_OF_READY", defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=0 EARLY", reason: violated},
			{name: "LAST_SLOT_UNFENCED", defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=0 EARLY", reason: stuck},
			{name: "NO_LAST_WORD", defs: "THREADS=3 PUTTERS=1 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=0 EARLY", reason: stuck},
			{name: "NO_REARM", defs: "THREADS=3 PUTTERS=1 MESSAGES=2 SLOTS=2 DEATHS=0 CANCELS=1", reason: stuck},
			{name: "NO_PASS", defs: "THREADS=3 PUTTERS=1 MESSAGES=2 SLOTS=2 DEATHS=0 CANCELS=1", reason: stuck},
			{name: "NO_MORE", defs: "THREADS=3 PUTTERS=1 MESSAGES=2 SLOTS=2 DEATHS=0 CANCELS=1", reason: stuck},
		},
	},
	{
		name: "empty",
		searches: []search{
			{defs: "FIRST=1 SECOND=3 DEATHS=0"},
			{defs: "FIRST=1 SECOND=1 DEATHS=1 THREADS=4"},
			{defs: "SLOTS=1 FIRST=1 SECOND=2 DEATHS=1"},
			{defs: "HELD FIRST=0 SECOND=0 DEATHS=2 THREADS=5"},
			{defs: "HELD LEASES RETURNS=4 FIRST=0 SECOND=0 DEATHS=0 THREADS=4"},
			{defs: "HELD LEASES RETURNS=0 FIRST=0 SECOND=1 DEATHS=1 THREADS=4"},
			{defs: "SPANS FIRST=2 SECOND=2 DEATHS=0"},
			{defs: "HELD LEASES RETURNS=2 FIRST=0 SECOND=1 DEATHS=0 THREADS=4", large: true},
			{defs: "HELD LEASES RETURNS=2 FIRST=0 SECOND=0 DEATHS=1 THREADS=4", large: true},
		},
		mutations: []mutation{
			{name: "NO_SECOND_LOOK", defs: "FIRST=1 SECOND=3 DEATHS=0", reason: violated},
			{name: "LOOK_IF_WRITING", defs: "FIRST=1 SECOND=1 DEATHS=1 THREADS=4", reason: violated},
			{name: "EPOCH_BLIND", defs: "HELD FIRST=0 SECOND=0 DEATHS=2 THREADS=5", reason: violated},
			{name: "FRONT_BLIND", defs: "HELD LEASES RETURNS=4 FIRST=0 SECOND=0 DEATHS=0 THREADS=4", reason: violated},
			{name: "FULL_EARLY", defs: "FIRST=1 SECOND=1 DEATHS=0", reason: violated},
			{name: "BEYOND_ONE", defs: "SPANS FIRST=2 SECOND=1 DEATHS=0", reason: violated},
		},
	},
	{
		name: "join",
		searches: []search{
			{defs: "THREADS=3 FOLLOW=3 DEATHS=0 CANCELS=0"},
			{defs: "THREADS=3 FOLLOW=1 DEATHS=1 CANCELS=0"},
			{defs: "THREADS=3 FOLLOW=1 DEATHS=1 CANCELS=1"},
		},
		mutations: []mutation{
			{name: "ONE_LOOK", defs: "THREADS=3 FOLLOW=1 DEATHS=0 CANCELS=0", reason: violated},
			{name: "NO_LAPS", defs: "THREADS=3 FOLLOW=3 DEATHS=0 CANCELS=0", reason: violated},
			{name: "FREED_SILENT", defs: "THREADS=3 FOLLOW=0 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "DRAINED_FIRST", defs: "THREADS=3 FOLLOW=0 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_FLAG", defs: "THREADS=3 FOLLOW=0 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_ADOPT", defs: "THREADS=3 FOLLOW=0 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=3 FOLLOW=0 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "EPOCH_LATE", defs: "THREADS=3 FOLLOW=0 DEATHS=1 CANCELS=0", reason: stuck},
		},
	},
	{
		name: "broadcast",
		searches: []search{
			{defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=0"},
			{defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0 EARLY"},
			{defs: "THREADS=2 PUBLISHERS=1 MESSAGES=3 SLOTS=2 DEATHS=0 CANCELS=0 EARLY", large: true},
			{defs: "THREADS=2 PUBLISHERS=1 MESSAGES=3 SLOTS=1 DEATHS=0 CANCELS=1 LOSSY=4"},
			{defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=1", large: true},
			{defs: "THREADS=2 PUBLISHERS=1 MESSAGES=3 SLOTS=2 DEATHS=1 CANCELS=0", large: true},
			{defs: "THREADS=3 PUBLISHERS=2 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=0", large: true},
			{defs: "THREADS=3 PUBLISHERS=2 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=0 LOSSY=8", large: true},
		},
		mutations: []mutation{
			{name: "NO_FENCE", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_RECHECK", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "MOVE_SILENT", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "JOIN_LATE", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: violated},
			{name: "NO_LIMIT", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: violated},
			{name: "SHUT_BLIND", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0", reason: violated},
			{name: "NO_SHUT_CHECK", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0 EARLY", reason: violated},
			{name: "NO_LAST_LOOK", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=0 LOSSY=4", reason: violated},
			{name: "EPOCH_LATE", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "NO_REPAIR", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "DEATH_KEEPS", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "LEAVE_SILENT", defs: "THREADS=2 PUBLISHERS=1 MESSAGES=2 SLOTS=1 DEATHS=0 CANCELS=1", reason: stuck},
			{name: "WAKE_ONE", defs: "THREADS=3 PUBLISHERS=1 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "SLOT_SILENT", defs: "THREADS=3 PUBLISHERS=2 MESSAGES=1 SLOTS=1 DEATHS=0 CANCELS=0 LOSSY=8", reason: stuck},
		},
	},
	{
		name: "lease",
		searches: []search{
			{defs: "THREADS=2 MESSAGES=3 RETURNS=2 DEATHS=0 CANCELS=0"},
			{defs: "THREADS=3 MESSAGES=1 DEATHS=0 CANCELS=0"},
			{defs: "THREADS=4 PUTTERS=2 MESSAGES=1 RETURNS=0 DEATHS=0 CANCELS=0 BEGUN"},
			{defs: "THREADS=3 MESSAGES=2 RETURNS=0 DEATHS=0 CANCELS=0 LONG", large: true},
			{defs: "THREADS=3 MESSAGES=1 SLOTS=1 DEATHS=1 CANCELS=0", large: true},
			{defs: "THREADS=3 MESSAGES=1 DEATHS=1 CANCELS=0", large: true},
			{defs: "THREADS=3 MESSAGES=1 DEATHS=0 CANCELS=0 EARLY", large: true},
			{defs: "THREADS=3 MESSAGES=3 RETURNS=0 DEATHS=0 CANCELS=0 LONG", large: true},
		},
		mutations: []mutation{
			{name: "NO_SKIP", defs: "THREADS=3 MESSAGES=3 RETURNS=0 DEATHS=0 CANCELS=0 LONG", reason: stuck},
			{name: "SKIP_BLIND", defs: "SLOTS=1 THREADS=2 MESSAGES=2 RETURNS=0 DEATHS=0 CANCELS=0", reason: violated},
			{name: "SKIP_ON", defs: "THREADS=4 PUTTERS=2 MESSAGES=1 RETURNS=0 DEATHS=0 CANCELS=0 BEGUN", reason: violated},
			{name: "STORE_BLIND", defs: "THREADS=3 MESSAGES=3 RETURNS=0 DEATHS=0 CANCELS=0 LONG", reason: stuck},
			{name: "NO_FRONT", defs: "THREADS=2 MESSAGES=2 DEATHS=0 CANCELS=0", reason: violated},
			{name: "FRONT_FIRST", defs: "THREADS=3 MESSAGES=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "RETURN_SILENT", defs: "THREADS=3 MESSAGES=1 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "ADOPT_ONCE", defs: "THREADS=3 MESSAGES=3 DEATHS=0 CANCELS=0", reason: violated, large: true},
			{name: "NO_ADOPT", defs: "THREADS=3 MESSAGES=1 SLOTS=1 DEATHS=1 CANCELS=0", reason: stuck, large: true},
			{name: "DRAINED_OF_LEASED", defs: "THREADS=3 MESSAGES=1 DEATHS=0 CANCELS=0 EARLY", reason: violated},
			{name: "NO_LAST_WORD", defs: "THREADS=3 MESSAGES=1 DEATHS=0 CANCELS=0 EARLY", reason: stuck},
		},
	},
	{
		name: "semaphore",
		searches: []search{
			{defs: "THREADS=3 GIVERS=1 GIVEN=2 DEATHS=1 CANCELS=1 MOVES=1"},
			{defs: "THREADS=3 GIVERS=1 GIVEN=2 DEATHS=0 CANCELS=1 STOPS=1"},
			{defs: "THREADS=4 GIVERS=2 GIVEN=1 DEATHS=1 CANCELS=1", large: true},
			{defs: "THREADS=4 GIVERS=2 GIVEN=1 DEATHS=0 CANCELS=1 GIVEBACK"},
			{defs: "THREADS=4 GIVERS=2 GIVEN=2 TAKEN=2 DEATHS=1 CANCELS=0", large: true},
		},
		mutations: []mutation{
			{name: "NO_RECHECK", defs: "THREADS=3 GIVERS=1 GIVEN=2 DEATHS=1 CANCELS=1", reason: stuck, large: true},
			{name: "EPOCH_LATE", defs: "THREADS=3 GIVERS=1 GIVEN=2 DEATHS=1 CANCELS=1", reason: stuck, large: true},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=3 GIVERS=1 GIVEN=2 DEATHS=1 CANCELS=1", reason: stuck, large: true},
			{name: "NO_MORE", defs: "THREADS=3 GIVERS=1 GIVEN=2 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "NO_PASS", defs: "THREADS=3 GIVERS=1 GIVEN=2 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "NO_REARM", defs: "THREADS=4 GIVERS=2 GIVEN=1 DEATHS=0 CANCELS=1 GIVEBACK", reason: stuck},
			{name: "NO_RELOOK", defs: "THREADS=3 GIVERS=1 GIVEN=2 DEATHS=0 CANCELS=0 STOPS=1", reason: stuck},
		},
	},
	{
		name: "select",
		searches: []search{
			{defs: "DEATHS=0 CANCELS=0"},
			{defs: "GIVEN1=0 DEATHS=1 CANCELS=0"},
			{defs: "DEATHS=1 CANCELS=0", large: true},
			{defs: "DEATHS=0 CANCELS=1", large: true},
			{defs: "DEATHS=0 CANCELS=0 STOPS=1", large: true},
			{defs: "SELECTORS=2 DEATHS=0 CANCELS=0", large: true},
		},
		mutations: []mutation{
			{name: "NO_PASS", defs: "DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_MORE", defs: "DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NOTHING_MOVED", defs: "DEATHS=0 CANCELS=0", reason: stuck},
			{name: "ONE_INDEX", defs: "DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_REARM", defs: "DEATHS=0 CANCELS=0", reason: stuck},
			{name: "ANNOUNCE_SILENT", defs: "DEATHS=1 CANCELS=0", reason: stuck},
			{name: "EPOCH_LATE", defs: "DEATHS=1 CANCELS=0", reason: stuck},
			{name: "NO_RELOOK", defs: "DEATHS=0 CANCELS=0 STOPS=1", reason: stuck},
		},
	},
	{
		name: "bounded",
		searches: []search{
			{defs: "THREADS=3 PERMITS=1 ROUNDS=1 DEATHS=1 CANCELS=1"},
			{defs: "THREADS=3 PERMITS=2 ROUNDS=1 DEATHS=1 CANCELS=1"},
			{defs: "THREADS=3 PERMITS=1 ROUNDS=2 DEATHS=0 CANCELS=1", large: true},
		},
		mutations: []mutation{
			{name: "NO_RECHECK", defs: "THREADS=3 PERMITS=1 ROUNDS=1 DEATHS=1 CANCELS=1", reason: stuck, large: true},
			{name: "EPOCH_LATE", defs: "THREADS=3 PERMITS=1 ROUNDS=1 DEATHS=1 CANCELS=1", reason: stuck, large: true},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=3 PERMITS=1 ROUNDS=1 DEATHS=1 CANCELS=1", reason: stuck, large: true},
			{name: "DEATH_KEEPS", defs: "THREADS=3 PERMITS=1 ROUNDS=1 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "NO_REARM", defs: "THREADS=3 PERMITS=1 ROUNDS=1 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "ONE_ROUND", defs: "THREADS=3 PERMITS=2 ROUNDS=1 DEATHS=1 CANCELS=1", reason: violated},
		},
	},
	{
		name: "rwlock",
		searches: []search{
			{defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1"},
			{defs: "THREADS=3 READERS=1 ROUNDS=1 DEATHS=1 CANCELS=0"},
			{defs: "THREADS=3 READERS=2 ROUNDS=1 DEATHS=0 CANCELS=1 SHARED LATES=0"},
			{defs: "THREADS=3 READERS=2 ROUNDS=1 DEATHS=1 CANCELS=0", large: true},
			{defs: "THREADS=3 READERS=1 ROUNDS=1 DEATHS=1 CANCELS=1", large: true},
			{defs: "THREADS=3 READERS=2 ROUNDS=2 DEATHS=0 CANCELS=0 SHARED", large: true},
			{defs: "THREADS=3 READERS=2 ROUNDS=1 DEATHS=1 CANCELS=1 SHARED", large: true},
			{defs: "THREADS=3 READERS=2 ROUNDS=1 WROUNDS=2 DEATHS=0 CANCELS=1", large: true},
			{defs: "THREADS=3 READERS=0 ROUNDS=1 DEATHS=2 CANCELS=1"},
			{defs: "THREADS=3 READERS=0 ROUNDS=2 DEATHS=2 CANCELS=0", large: true},
		},
		mutations: []mutation{
			{name: "NO_RECHECK", defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "EPOCH_LATE", defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "FREE_SILENT", defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "LEAVE_SILENT", defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "DEAD_PHASE_STAYS", defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1", reason: stuck},
			{name: "DIED_FREED", defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1", reason: violated},
			{name: "DIED_TAKEN", defs: "THREADS=3 READERS=1 ROUNDS=1 DEATHS=1 CANCELS=0", reason: violated},
			{name: "JOIN_BLIND", defs: "THREADS=2 READERS=1 ROUNDS=2 DEATHS=1 CANCELS=1", reason: violated},
			{name: "WANTED_BLIND", defs: "THREADS=3 READERS=1 ROUNDS=1 DEATHS=0 CANCELS=0", reason: violated},
		},
	},
	{
		name: "value",
		searches: []search{
			{defs: "WRITERS=1 WRITES=5 READERS=1 READS=2 DEATHS=0"},
			{defs: "WRITERS=2 WRITES=2 READERS=1 READS=1 DEATHS=1"},
			{defs: "WRITERS=2 WRITES=3 READERS=1 READS=1 DEATHS=1", large: true},
			{defs: "WRITERS=2 WRITES=2 READERS=2 READS=1 DEATHS=1", large: true},
		},
		mutations: []mutation{
			{name: "NO_LAST_LOOK", defs: "WRITERS=1 WRITES=5 READERS=1 READS=1 DEATHS=0", reason: violated},
			{name: "LAST_LOOK_LATE", defs: "WRITERS=1 WRITES=5 READERS=1 READS=1 DEATHS=0", reason: violated},
			{name: "NUMBER_FIRST", defs: "WRITERS=1 WRITES=2 READERS=1 READS=1 DEATHS=0", reason: violated},
			{name: "IN_PLACE", defs: "WRITERS=1 WRITES=2 READERS=1 READS=1 DEATHS=0", reason: violated},
			{name: "NO_LOCK", defs: "WRITERS=2 WRITES=1 READERS=1 READS=1 DEATHS=0", reason: violated},
			{name: "UPDATE_BLIND", defs: "WRITERS=2 WRITES=1 READERS=1 READS=1 DEATHS=0", reason: violated},
			{name: "DEAD_KEEPS", defs: "WRITERS=2 WRITES=1 READERS=1 READS=1 DEATHS=1", reason: stuck},
		},
	},
	{
		name: "storage",
		searches: []search{
			{defs: "SLOTS=1 PUTTERS=1 GETTERS=2 BLOCKS=2"},
			{defs: "SLOTS=2 PUTTERS=2 GETTERS=1 BLOCKS=2 DEATHS=0 SKIPS=0 TRIES"},
			{defs: "SLOTS=1 PUTTERS=2 GETTERS=2 BLOCKS=2", large: true},
			{defs: "SLOTS=2 PUTTERS=2 GETTERS=1 BLOCKS=3", large: true},
		},
		mutations: []mutation{
			{name: "STATE_FIRST", defs: "SLOTS=1 PUTTERS=2 GETTERS=1 BLOCKS=2 DEATHS=0", reason: violated},
			{name: "MARK_FIRST", defs: "SLOTS=1 PUTTERS=2 GETTERS=1 BLOCKS=2 DEATHS=0", reason: violated},
			{name: "NO_COLLECT", defs: "SLOTS=1 PUTTERS=2 GETTERS=1 BLOCKS=2", reason: stuck},
			{name: "GIVE_FIRST", defs: "SLOTS=1 PUTTERS=2 GETTERS=2 BLOCKS=2 SKIPS=0", reason: violated},
			{name: "FREE_BLIND", defs: "SLOTS=1 PUTTERS=3 GETTERS=1 BLOCKS=1 NEED=1 DEATHS=0", reason: violated},
			{name: "GIVE_UP_SILENT", defs: "SLOTS=2 PUTTERS=2 GETTERS=1 BLOCKS=2 DEATHS=0 SKIPS=0 TRIES", reason: stuck},
			{name: "NO_BIRTH", defs: "SLOTS=1 PUTTERS=3 GETTERS=1 BLOCKS=2 NEED=1 DEATHS=0", reason: violated, large: true},
		},
	},
	{
		name: "span",
		searches: []search{
			{defs: "PUTTERS=1 GETTERS=2 SLOTS=3 MESSAGES=4 DEATHS=1"},
			{defs: "PUTTERS=1 GETTERS=2 SLOTS=3 STEP=2 MESSAGES=4 DEATHS=1"},
			{defs: "PUTTERS=2 GETTERS=1 SLOTS=2 MESSAGES=3 DEATHS=1"},
			{defs: "PUTTERS=2 GETTERS=1 SLOTS=2 MESSAGES=3 DEATHS=2 SKIPS=0", large: true},
			{defs: "PUTTERS=2 GETTERS=2 SLOTS=2 MESSAGES=2 DEATHS=1", large: true},
			{defs: "PUTTERS=1 GETTERS=3 SLOTS=2 MESSAGES=2 DEATHS=2 SKIPS=0", large: true},
		},
		mutations: []mutation{
			{name: "NO_CHECK", defs: "PUTTERS=1 GETTERS=2 SLOTS=2 MESSAGES=3 DEATHS=0", reason: violated},
			{name: "ONE_BY_ONE", defs: "PUTTERS=2 GETTERS=1 SLOTS=2 MESSAGES=2 DEATHS=0", reason: violated},
			{name: "CURSOR_INSIDE", defs: "PUTTERS=2 GETTERS=1 SLOTS=2 MESSAGES=3 DEATHS=0", reason: violated},
			{name: "PUBLISH_FIRST", defs: "PUTTERS=1 GETTERS=1 SLOTS=2 MESSAGES=2", reason: violated},
			{name: "FREE_FIRST", defs: "PUTTERS=1 GETTERS=2 SLOTS=2 MESSAGES=3", reason: stuck},
			{name: "NO_RELOAD", defs: "PUTTERS=1 GETTERS=1 SLOTS=2 MESSAGES=2", reason: violated},
			{name: "NO_UNDO", defs: "PUTTERS=1 GETTERS=2 SLOTS=2 MESSAGES=3", reason: stuck},
			{name: "FIRST_FIRST", defs: "PUTTERS=1 GETTERS=2 SLOTS=2 MESSAGES=2", reason: violated},
		},
	},
	{
		name: "evict",
		searches: []search{
			{defs: "PUBLISHERS=1 MESSAGES=3 LOSSY"},
			{defs: "PUBLISHERS=1 MESSAGES=3"},
			{defs: "PUBLISHERS=2 MESSAGES=1 BLOCKS=2 NEED=2 SLOTS=1 DEATHS=0"},
			{defs: "PUBLISHERS=2 MESSAGES=1 BLOCKS=1 LOSSY", large: true},
			{defs: "PUBLISHERS=2 MESSAGES=1 BLOCKS=2 NEED=2 LOSSY DEATHS=0", large: true},
		},
		mutations: []mutation{
			{name: "NO_LOOK", defs: "PUBLISHERS=1 MESSAGES=3 LOSSY DEATHS=0 BLOCKS=1", reason: violated},
			{name: "EVICT_ALL", defs: "PUBLISHERS=1 MESSAGES=3 DEATHS=0 BLOCKS=1", reason: violated},
			{name: "WRITING_STALE", defs: "PUBLISHERS=2 MESSAGES=1 BLOCKS=1 LOSSY DEATHS=0", reason: violated},
			{name: "GIVE_BLIND", defs: "PUBLISHERS=2 MESSAGES=2 BLOCKS=1 LOSSY DEATHS=0", reason: violated},
			{name: "MOVE_SILENT", defs: "PUBLISHERS=1 MESSAGES=2 BLOCKS=1 DEATHS=0", reason: stuck},
			{name: "GIVE_UP_SILENT", defs: "PUBLISHERS=2 MESSAGES=2 BLOCKS=2 NEED=2 LOSSY DEATHS=0 FAILS=0", reason: stuck},
		},
	},
	{
		name: "recycle",
		searches: []search{
			{defs: "PROCS=1 DEATHS=1 OTHERS=2"},
			{defs: "PROCS=2 DEATHS=1 OTHERS=0"},
			{defs: "PROCS=2 DEATHS=1 OTHERS=1", large: true},
		},
		mutations: []mutation{
			{name: "HOLD_FIRST", defs: "PROCS=1", reason: violated},
			{name: "PUBLISH_LATE", defs: "PROCS=1", reason: violated},
			{name: "LATEST", defs: "PROCS=1", reason: violated},
			{name: "COLLECT_ALL", defs: "PROCS=1", reason: violated},
			{name: "ASK_EARLY", defs: "PROCS=1", reason: violated},
			{name: "NO_GENERATION", defs: "PROCS=1", reason: violated},
			{name: "WAIT_FOR_DEAD", defs: "PROCS=1", reason: stuck},
		},
	},
	{
		name: "condition",
		searches: []search{
			{defs: "THREADS=2 WAITS=2 NOTIFIES=2 PLACES=2 DEATHS=1 CANCELS=1"},
			{defs: "THREADS=3 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=1 CANCELS=0"},
			{defs: "THREADS=3 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=1 CANCELS=0 TAKES=0"},
			{defs: "THREADS=3 WAITS=3 NOTIFIES=2 MOST=2 DEATHS=0 CANCELS=0"},
			{defs: "THREADS=3 WAITS=3 NOTIFIES=2 MOST=2 DEATHS=0 CANCELS=1", large: true},
			{defs: "THREADS=3 WAITS=3 NOTIFIES=2 PLACES=2 DEATHS=0 CANCELS=1 FAILS=1", large: true},
			{defs: "THREADS=3 WAITS=3 NOTIFIES=1 PLACES=2 DEATHS=2 CANCELS=0 BLOCK", large: true},
			{defs: "THREADS=3 WAITS=2 NOTIFIES=2 PLACES=2 DEATHS=1 CANCELS=0 TAKES=0 RECOVERS=1", large: true},
			{defs: "THREADS=3 WAITS=3 NOTIFIES=2 DEATHS=1 CANCELS=0 BLOCK", large: true},
			{defs: "WAITERS=14 NOTIFIERS=16 THREADS=4 WAITS=3 NOTIFIES=2 DEATHS=0 CANCELS=0 FAILS=1 BLOCK", large: true},
		},
		mutations: []mutation{
			{name: "NOT_TAKEN_OVER", defs: "WAITERS=6 NOTIFIERS=8 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=1 CANCELS=0", reason: violated},
			{name: "SEEN_LATE", defs: "WAITERS=6 NOTIFIERS=8 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=1 CANCELS=0", reason: violated},
			{name: "NOTIFY_DEAD", defs: "WAITERS=6 NOTIFIERS=8 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=1 CANCELS=0", reason: violated},
			{name: "UNTIL_IGNORED", defs: "WAITERS=6 NOTIFIERS=8 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=1 CANCELS=0", reason: violated},
			{name: "CANCEL_DROPS", defs: "WAITERS=6 NOTIFIERS=8 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=0 CANCELS=1", reason: violated},
			{name: "DROP", defs: "WAITERS=6 NOTIFIERS=8 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=0 CANCELS=0 FAILS=1", reason: violated},
			{name: "HAND_ON_SILENT", defs: "WAITERS=6 NOTIFIERS=8 WAITS=2 NOTIFIES=1 PLACES=2 DEATHS=0 CANCELS=0 FAILS=1", reason: violated},
			{name: "OWN_DROPPED", defs: "WAITERS=14 NOTIFIERS=16 THREADS=4 WAITS=3 NOTIFIES=2 DEATHS=0 CANCELS=0 FAILS=1 BLOCK", reason: violated, large: true},
			{name: "KEEP_OTHERS", defs: "WAITERS=14 NOTIFIERS=16 THREADS=4 WAITS=3 NOTIFIES=2 DEATHS=0 CANCELS=0 FAILS=1 BLOCK", reason: violated, large: true},
			{name: "NO_RENEW", defs: "WAITERS=14 NOTIFIERS=16 THREADS=4 WAITS=3 NOTIFIES=2 DEATHS=0 CANCELS=0 FAILS=1 BLOCK", reason: violated, large: true},
			{name: "RENEW_STALE", defs: "WAITERS=14 NOTIFIERS=16 THREADS=4 WAITS=3 NOTIFIES=2 DEATHS=0 CANCELS=0 FAILS=1 BLOCK", reason: violated, large: true},
		},
	},
	{
		name: "barrier",
		searches: []search{
			{defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=1"},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=0", large: true},
			{defs: "THREADS=2 ROUNDS=2 DEATHS=0 CANCELS=1 ACTION FAILS=1"},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=0 MEDDLER RESETS=1 ABORTS=1"},
			{defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=1", large: true},
			{defs: "THREADS=3 PARTIES=3 ROUNDS=1 DEATHS=0 CANCELS=1", large: true},
			{defs: "THREADS=3 PARTIES=3 ROUNDS=1 DEATHS=1 CANCELS=0", large: true},
		},
		mutations: []mutation{
			{name: "NO_RECHECK", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=1", reason: violated, large: true},
			{name: "EPOCH_LATE", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=1", reason: violated, large: true},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=1", reason: violated, large: true},
			{name: "DEAD_UNSEEN", defs: "THREADS=2 ROUNDS=2 DEATHS=1 CANCELS=1", reason: violated},
			{name: "CANCEL_KEEPS", defs: "THREADS=2 ROUNDS=2 DEATHS=0 CANCELS=1", reason: violated},
			{name: "PASS_SILENT", defs: "THREADS=2 ROUNDS=2 DEATHS=0 CANCELS=0", reason: violated},
			{name: "BREAK_SILENT", defs: "THREADS=3 PARTIES=3 ROUNDS=1 DEATHS=0 CANCELS=1", reason: violated},
			{name: "LEAVE_FIRST", defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=1", reason: violated},
			{name: "SEAT_LATE", defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=1", reason: violated},
			{name: "LEFT_SILENT", defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=1", reason: violated},
			{name: "RESET_PASSES", defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=0 MEDDLER RESETS=1", reason: violated},
			{name: "RESET_SILENT", defs: "THREADS=3 ROUNDS=1 DEATHS=0 CANCELS=0 MEDDLER RESETS=1", reason: violated},
		},
	},
	{
		name: "once",
		searches: []search{
			{defs: "THREADS=2 DEATHS=1 CANCELS=1 FAILS=1"},
			{defs: "THREADS=2 DEATHS=0 CANCELS=1 STOPS=1 FAILS=1"},
			{defs: "THREADS=3 DEATHS=0 CANCELS=0 STOPS=1", large: true},
			{defs: "THREADS=3 DEATHS=1 CANCELS=0", large: true},
			{defs: "THREADS=3 DEATHS=0 CANCELS=1 FAILS=1", large: true},
		},
		mutations: []mutation{
			{name: "BLIND", defs: "THREADS=2 DEATHS=0 CANCELS=0", reason: violated},
			{name: "DONE_LATE", defs: "THREADS=2 DEATHS=0 CANCELS=0", reason: violated},
			{name: "DONE_UNSEEN", defs: "THREADS=2 DEATHS=0 CANCELS=0 STOPS=1", reason: stuck},
			{name: "NO_RELOOK", defs: "THREADS=3 DEATHS=0 CANCELS=0 STOPS=1", reason: stuck},
			{name: "NO_PASS", defs: "THREADS=3 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_FENCE", defs: "THREADS=2 DEATHS=0 CANCELS=0 FAILS=1", reason: stuck},
		},
	},
	{
		name: "waitgroup",
		searches: []search{
			{defs: "THREADS=3 DEATHS=1 CANCELS=1"},
			{defs: "THREADS=3 DEATHS=1 CANCELS=0 REUSE"},
			{defs: "THREADS=3 DEATHS=2 CANCELS=0"},
			{defs: "THREADS=3 DEATHS=0 CANCELS=1 AGAIN"},
			{defs: "THREADS=3 DEATHS=2 CANCELS=0 REUSE", large: true},
			{defs: "THREADS=4 DEATHS=1 CANCELS=0", large: true},
		},
		mutations: []mutation{
			{name: "STALE_SHARE", defs: "THREADS=3 DEATHS=1 CANCELS=0", reason: violated},
			{name: "CHANGED_SKIPPED", defs: "THREADS=3 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "NO_REDO", defs: "THREADS=3 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "REDO_SILENT", defs: "THREADS=3 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "LOCK_LEFT", defs: "THREADS=3 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "NO_ZEROS", defs: "THREADS=3 DEATHS=0 CANCELS=0 AGAIN", reason: stuck},
			{name: "DEAD_UNSEEN", defs: "THREADS=3 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "SHARE_FIRST", defs: "THREADS=3 DEATHS=1 CANCELS=0 REUSE", reason: stuck},
			{name: "EPOCH_LATE", defs: "THREADS=3 DEATHS=1 CANCELS=0", reason: stuck, large: true},
			{name: "NO_RECHECK", defs: "THREADS=3 DEATHS=1 CANCELS=0", reason: stuck, large: true},
		},
	},
	{
		name: "pipe",
		searches: []search{
			{defs: "THREADS=2 SENDERS=2 DEATHS=1 CANCELS=1 STOPS=1"},
			{defs: "THREADS=2 SENDERS=2 DEATHS=1 CANCELS=0 MESSAGES=2", large: true},
			{defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0"},
			{defs: "THREADS=3 SENDERS=2 DEATHS=1 CANCELS=0 HANDOVER"},
			{defs: "THREADS=3 SENDERS=1 DEATHS=0 CANCELS=1 CLOSER"},
			{defs: "THREADS=2 SENDERS=1 MESSAGES=2 DEATHS=1 CANCELS=0 FULL"},
			{defs: "THREADS=2 SENDERS=1 MESSAGES=2 DEATHS=1 CANCELS=1 FULL", large: true},
			{defs: "THREADS=3 SENDERS=1 DEATHS=0 CANCELS=0 MESSAGES=2 TAKES=1 STRONG", large: true},
			{defs: "THREADS=3 SENDERS=1 DEATHS=0 CANCELS=0 STRONG", large: true},
			{defs: "THREADS=3 SENDERS=1 DEATHS=1 CANCELS=0 MESSAGES=2 TAKES=1 STRONG", large: true},
			{defs: "THREADS=3 SENDERS=2 DEATHS=1 CANCELS=0", large: true},
			{defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0 HANDOVER BOTH", large: true},
			{defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0 FULL", large: true},
			{defs: "THREADS=3 SENDERS=1 DEATHS=1 CANCELS=0 CLOSER", large: true},
		},
		mutations: []mutation{
			{name: "NO_REVOKE", defs: "THREADS=2 SENDERS=2 DEATHS=0 CANCELS=0", reason: violated},
			{name: "REVOKE_UNFENCED", defs: "THREADS=2 SENDERS=2 DEATHS=0 CANCELS=0", reason: violated},
			{name: "NOT_EMPTY", defs: "THREADS=2 SENDERS=2 DEATHS=0 CANCELS=0", reason: violated},
			{name: "VACATED_SILENT", defs: "THREADS=2 SENDERS=2 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "OUSTED_SILENT", defs: "THREADS=2 SENDERS=2 DEATHS=0 CANCELS=0", reason: stuck},
			{name: "NO_RELOOK", defs: "THREADS=2 SENDERS=2 DEATHS=0 CANCELS=0 STOPS=1", reason: stuck},
			{name: "DEAD_INSIDE", defs: "THREADS=2 SENDERS=2 DEATHS=1 CANCELS=0", reason: stuck},
			{name: "EPOCH_LATE", defs: "THREADS=2 SENDERS=2 DEATHS=1 CANCELS=0", reason: stuck, large: true},
			{name: "ANNOUNCE_SILENT", defs: "THREADS=2 SENDERS=2 DEATHS=1 CANCELS=0", reason: stuck, large: true},
			{name: "NO_WALK", defs: "THREADS=3 SENDERS=2 DEATHS=1 CANCELS=0", reason: stuck, large: true},
			{name: "NO_CLEAR", defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0", reason: violated, large: true},
			{name: "HEADER_EARLY", defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0", reason: violated, large: true},
			{name: "NO_FENCE", defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0", reason: stuck, large: true},
			{name: "NO_RECHECK", defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0", reason: stuck, large: true},
			{name: "DROP_SILENT", defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0", reason: stuck, large: true},
			{name: "NO_RESCAN", defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0 HANDOVER", reason: violated},
			{name: "HOLD_SILENT", defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0 HANDOVER", reason: violated, large: true},
			{name: "EOF_BLIND", defs: "THREADS=3 SENDERS=2 DEATHS=0 CANCELS=0 HANDOVER", reason: violated},
			{name: "DROP_UNFENCED", defs: "THREADS=3 SENDERS=1 DEATHS=0 CANCELS=0 CLOSER", reason: violated},
			{name: "NO_MORE", defs: "THREADS=3 SENDERS=1 DEATHS=0 CANCELS=0 MESSAGES=2 TAKES=1 STRONG", reason: stuck},
			{name: "NO_PASS", defs: "THREADS=3 SENDERS=1 DEATHS=0 CANCELS=1 MESSAGES=2 TAKES=1 STRONG", reason: stuck, large: true},
		},
	},
	{
		name: "long",
		searches: []search{
			{defs: "CANCELS=1"},
			{defs: "DEATHS=1"},
			{defs: "RECORDS=4 DEATHS=1 CANCELS=1"},
			{defs: "SENDERS=1 DEATHS=1 CANCELS=1", large: true},
			{defs: "DEATHS=1 CANCELS=1", large: true},
			{defs: "SENDERS=1 DEATHS=2 CANCELS=2", large: true},
			{defs: "SENDERS=3 THREADS=4 PIECES=2 CAPACITY=3 RECORDS=10 DEATHS=1 CANCELS=1", large: true},
		},
		mutations: []mutation{
			{name: "PLAIN_NEXT", defs: "SENDERS=1 CANCELS=1", reason: violated},
			{name: "RESUMED", defs: "SENDERS=1 CANCELS=1", reason: violated},
			{name: "NO_CLAIM", defs: "CANCELS=1", reason: violated},
			{name: "KEPT", defs: "CANCELS=1", reason: violated},
			{name: "PASS_UNCLAIMED", defs: "RECORDS=4 CANCELS=1", reason: violated},
			{name: "TAIL_LAST", defs: "SENDERS=3 THREADS=4 PIECES=2 CAPACITY=3 RECORDS=10 DEATHS=1 CANCELS=1", reason: violated},
			{name: "AGAIN_LEFT", defs: "DEATHS=1 CANCELS=1", reason: stuck},
		},
	},
	{
		name: "attach",
		searches: []search{
			{defs: "DEATHS=0 OPS=4"},
			{defs: "DEATHS=1 OPS=2"},
			{defs: "DEATHS=1 OPS=3", large: true},
			{defs: "DEATHS=2 OPS=2", large: true},
		},
		mutations: []mutation{
			{name: "OPEN_BLIND", defs: "DEATHS=0 OPS=3", reason: violated},
			{name: "HELD_FIRST", defs: "DEATHS=0 OPS=3", reason: violated},
			{name: "ONE_LOOK", defs: "DEATHS=0 OPS=3", reason: violated},
			{name: "REAP_OWN", defs: "DEATHS=0 OPS=3", reason: violated},
			{name: "HELD_ONCE", defs: "DEATHS=1 OPS=3", reason: violated},
			{name: "NO_CLEAN", defs: "DEATHS=1 OPS=2", reason: violated},
			{name: "CLEAN_LATE", defs: "DEATHS=1 OPS=2", reason: violated, large: true},
			{name: "CLAIM_LIVING", defs: "DEATHS=1 OPS=2", reason: violated},
			{name: "ID_AGAIN", defs: "DEATHS=1 OPS=2", reason: violated},
			{name: "MAKING_STAYS", defs: "DEATHS=1 OPS=2", reason: violated},
			{name: "SWEPT_LATE", defs: "DEATHS=1 OPS=2", reason: violated},
			{name: "NOT_AGAIN", defs: "DEATHS=2 OPS=2", reason: violated, large: true},
		},
	},
	{
		name: "spare",
		searches: []search{
			{defs: "SPARES=2 DEATHS=2 STOPS=2"},
			{defs: "SPARES=3 DEATHS=1 STOPS=1"},
		},
		mutations: []mutation{
			{name: "RUN_FIRST", defs: "SPARES=2 DEATHS=1 STOPS=0", reason: violated},
			{name: "NO_TIMER", defs: "SPARES=2 DEATHS=0 STOPS=1", reason: violated},
			{name: "NO_KILL", defs: "SPARES=2 DEATHS=0 STOPS=1", reason: violated},
			{name: "NO_LOOK", defs: "SPARES=2 DEATHS=0 STOPS=0", reason: violated},
			{name: "NO_CANCEL", defs: "SPARES=2 DEATHS=2 STOPS=0", reason: violated},
		},
	},
	{
		name: "pool",
		searches: []search{
			{defs: "CALLS=2 DEATHS=1 STEALS=1"},
			{defs: "CALLS=2 CANCELS=1"},
			{defs: "WORKERS=1 CALLS=3 DEATHS=1"},
			{defs: "CALLS=2 DEATHS=1 RETRIES=1", large: true},
			{defs: "CALLS=2 DEATHS=1 CANCELS=1", large: true},
		},
		mutations: []mutation{
			{name: "RUN_AGAIN", defs: "WORKERS=1 CALLS=2 DEATHS=1", reason: violated},
			{name: "UNDRAINED", defs: "WORKERS=1 CALLS=2 DEATHS=1", reason: violated},
			{name: "BEGUN_BLIND", defs: "CALLS=2 STEALS=1", reason: violated},
			{name: "NO_SKIP_TAKEN", defs: "CALLS=2 STEALS=1", reason: violated},
			{name: "SENDS_BETWEEN", defs: "WORKERS=1 CALLS=2", reason: violated},
			{name: "LEAVE_SILENT", defs: "WORKERS=1 CALLS=2", reason: stuck},
		},
	},
}

// TestModels checks each model completely. Spin must find no error.
func TestModels(t *testing.T) {
	needSpin(t)
	for _, m := range models {
		for _, s := range m.searches {
			if s.large && !*large {
				continue
			}
			t.Run(name(m.name, s.defs), func(t *testing.T) {
				t.Parallel()
				r := check(t, m.name, strings.Fields(s.defs), s.large)
				if r.errors != "0" {
					t.Fatalf("%s\n%s", r.reason, r.trail(t))
				}
				report(t, "no error", r)
			})
		}
	}
}

// TestMutations checks that spin finds the error in each model with a fault.
func TestMutations(t *testing.T) {
	needSpin(t)
	for _, m := range models {
		for _, mut := range m.mutations {
			if mut.large && !*large {
				continue
			}
			t.Run(name(m.name, mut.name), func(t *testing.T) {
				t.Parallel()
				defs := append(strings.Fields(mut.defs), "MUT_"+mut.name)
				r := check(t, m.name, defs, mut.large)
				if r.errors == "0" || !strings.Contains(r.reason, mut.reason) {
					t.Fatalf("errors: %s, %q; want %q", r.errors, r.reason, mut.reason)
				}
				report(t, r.reason, r)
			})
		}
	}
}

// TestAllMutationsAreTried checks that the table of models has all mutations that are in the sources.
func TestAllMutationsAreTried(t *testing.T) {
	tried := map[string]bool{}
	for _, m := range models {
		for _, mut := range m.mutations {
			tried["MUT_"+mut.name] = true
		}
	}
	there := map[string]bool{}
	for _, s := range sources(t) {
		for _, name := range regexp.MustCompile(`\bMUT_\w+`).FindAllString(s.text, -1) {
			there[name] = true
		}
	}
	if !maps.Equal(tried, there) {
		t.Errorf("the table has %v, the models have %v", slices.Sorted(maps.Keys(tried)), slices.Sorted(maps.Keys(there)))
	}
}

// needSpin skips the test if spin or a C compiler is missing. If MP_NEED_SPIN is set, as in CI, it fails the test.
func needSpin(t *testing.T) {
	t.Helper()
	need := os.Getenv("MP_NEED_SPIN") != ""
	for _, program := range []string{"spin", "cc"} {
		if _, err := exec.LookPath(program); err != nil && need {
			t.Fatal(err)
		} else if err != nil {
			t.Skipf("the models are not checked: %v", err)
		}
	}
}

func name(model, what string) string { return model + "/" + strings.ReplaceAll(what, " ", ",") }

// report logs what was found, and prints it to standard output in one line.
func report(t *testing.T, what string, r result) {
	t.Helper()
	t.Logf("%s: %s states, depth %s", what, r.states, r.depth)
	fmt.Printf("%-90s %9s states, depth %3s: %.50s\n", t.Name(), r.states, r.depth, what)
}

// A source is a file of the models.
type source struct{ name, text string }

func sources(t *testing.T) (all []source) {
	t.Helper()
	names, err := filepath.Glob("*.pml")
	if err != nil || len(names) == 0 {
		t.Fatal("no models: ", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{name, string(text)})
	}
	return all
}

// A result is what spin found.
type result struct {
	dir, file             string
	defs                  []string
	errors, states, depth string
	reason                string
}

var (
	errorsIs = regexp.MustCompile(`depth reached (\d+), errors: (\d+)`)
	statesIs = regexp.MustCompile(`(?m)^\s*(\S+) states, stored`)
	reasonIs = regexp.MustCompile(`(?m)^pan:\d+: (.*)$`)
)

// check generates a checker of the model with spin, compiles it and runs it. If the search was not
// completed, it fails the test.
func check(t *testing.T, model string, defs []string, large bool) result {
	t.Helper()
	r := result{dir: t.TempDir(), file: model + ".pml", defs: defs}
	for _, s := range sources(t) {
		if err := os.WriteFile(filepath.Join(r.dir, s.name), []byte(s.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.run(t, "spin", append(r.options(), "-a", r.file)...)
	// Most searches take less time than an optimizing compiler. tcc is the fastest.
	compiler := []string{"cc", "-O0"}
	if large {
		compiler = []string{"cc", "-O1"}
	} else if _, err := exec.LookPath("tcc"); err == nil {
		compiler = []string{"tcc", "-O0"}
	}
	// SAFETY: spin does not search for cycles. MEMLIM is in MB.
	r.run(t, compiler[0], compiler[1], "-w", "-DSAFETY", "-DMEMLIM=6000", "-o", "pan", "pan.c")
	out := r.run(t, "./pan", "-n", "-w23", "-m20000")
	found := errorsIs.FindStringSubmatch(out)
	states := statesIs.FindStringSubmatch(out)
	if found == nil || states == nil {
		t.Fatalf("cannot parse the output of spin's checker:\n%s", out)
	}
	r.depth, r.errors, r.states = found[1], found[2], states[1]
	if reason := reasonIs.FindStringSubmatch(out); reason != nil {
		r.reason = reason[1]
	}
	for _, short := range []string{"Search not completed", "max search depth too small", "out of memory", "reached -DMEMLIM"} {
		if r.errors == "0" && strings.Contains(out, short) {
			t.Fatalf("the search was not completed (%s):\n%s", short, out)
		}
	}
	return r
}

func (r result) options() (o []string) {
	for _, d := range r.defs {
		o = append(o, "-D"+d)
	}
	return o
}

// trail returns the last steps of the path to the error.
func (r result) trail(t *testing.T) string {
	t.Helper()
	out := r.run(t, "spin", append(r.options(), "-t", "-p", "-g", "-l", r.file)...)
	const lines = 150
	all := strings.Split(out, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// run runs a program in r's directory, at a lower priority than other programs, and returns its output.
func (r result) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = r.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err == nil {
		syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, 5)
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return out.String()
}
