package manager

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A reference is what a proxy sends of itself: the manager, the object, and the token by which the
// object is kept until the receiver has attached to it. Its text is
//
//	mp-manager:MANAGER:OBJECT:TOKEN:KIND:FINGERPRINT:DOOR,ALIVE
//
// MANAGER to FINGERPRINT are hexadecimal numbers of 16 digits, DOOR and ALIVE the texts of handles.
// The server looks for such texts in the values that are stored in its objects. So it knows which
// objects an object refers to, though it knows no types.
type reference struct {
	manager     uint64
	object      uint64 // 0: the manager itself
	token       uint64
	kind        uint64
	fingerprint uint64
	door, alive string
}

const (
	referencePrefix = "mp-manager:"
	digits          = 16
	numbersOf       = 5 // numbers in a reference
)

func (r reference) text() []byte {
	return fmt.Appendf(nil, "%s%016x:%016x:%016x:%016x:%016x:%s,%s",
		referencePrefix, r.manager, r.object, r.token, r.kind, r.fingerprint, r.door, r.alive)
}

func parseReference(text []byte) (r reference, err error) {
	rest, ok := strings.CutPrefix(string(text), referencePrefix)
	var n [numbersOf]uint64
	for i := range n {
		if ok {
			n[i], rest, ok = cutNumber(rest)
		}
	}
	if r.door, r.alive, ok = cutIf(ok, rest); !ok {
		return r, fmt.Errorf("%w: %q is no object of a manager", shm.ErrHandle, text)
	}
	r.manager, r.object, r.token, r.kind, r.fingerprint = n[0], n[1], n[2], n[3], n[4]
	return r, nil
}

func cutIf(ok bool, s string) (before, after string, found bool) {
	if !ok {
		return "", "", false
	}
	return strings.Cut(s, ",")
}

// cutNumber cuts a number and the colon behind it off.
func cutNumber(s string) (n uint64, rest string, ok bool) {
	if len(s) <= digits || s[digits] != ':' {
		return 0, "", false
	}
	var b [digits / 2]byte
	if _, err := hex.Decode(b[:], []byte(s[:digits])); err != nil {
		return 0, "", false
	}
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n, s[digits+1:], true
}

// A finder finds the references to objects of one manager in encoded values.
type finder struct{ prefix []byte }

func newFinder(manager uint64) finder {
	return finder{fmt.Appendf(nil, "%s%016x:", referencePrefix, manager)}
}

// find calls f for each reference in data.
func (f finder) find(data []byte, do func(object, token uint64)) {
	for {
		i := bytes.Index(data, f.prefix)
		if i < 0 {
			return
		}
		data = data[i+len(f.prefix):]
		head := string(data[:min(len(data), 2*(digits+1))])
		object, head, ok := cutNumber(head)
		if !ok {
			continue
		}
		if token, _, ok := cutNumber(head); ok && object != 0 {
			do(object, token)
		}
	}
}
