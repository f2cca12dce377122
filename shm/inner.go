package shm

import (
	"os"

	"github.com/seed-2e7ecdea/mp/internal/inner"
)

func init() {
	in := &inner.Shm
	in.New = func(s any, kind uint32, name string, size, reserved int, fingerprint uint64, init func(mem []byte) error) (any, error) {
		return s.(*Segment).newObject(spec{Kind(kind), name, size, reserved, fingerprint, init})
	}
	in.Open = func(s any, kind uint32, name string, fingerprint uint64) (any, error) {
		return s.(*Segment).openObject(Kind(kind), name, fingerprint)
	}
	in.OpenHandle = func(h any, kind uint32, fingerprint uint64) (any, error) {
		return openHandle(h.(Handle), Kind(kind), fingerprint)
	}
	in.Sibling = func(o, h any, kind uint32, fingerprint uint64) (any, error) {
		return o.(*object).a.openHandle(h.(Handle), Kind(kind), fingerprint)
	}
	in.Again = func(o any) any { return o.(*object).again() }
	in.Grant = func(s, handles any) (inner.Grant, error) { return s.(*Segment).grant(handles.([]Handle)) }
	in.Adopt = func(f *os.File) (any, error) { return adoptParty(f) }
	in.Find = func(id [16]byte) (any, bool) { return find(id) }
	in.Attach = func(s any) (any, error) { return s.(*Segment).attach() }
	in.StatsOf = func(o any) (any, error) { return o.(*object).statsOf() }
	in.Drop = func(s any) (uint32, error) { return s.(*Segment).drop() }
	in.Announce = func(s any, dead uint32) error { return s.(*Segment).announce(dead) }
}
