package sync

import (
	"reflect"
	"testing"
)

// TestLayout checks that the words in shared memory are at the offsets that their pictures say,
// also on 32-bit CPUs.
func TestLayout(t *testing.T) {
	for _, test := range []struct {
		t    reflect.Type
		size uintptr
		at   map[string]uintptr
	}{
		{reflect.TypeFor[barrierWords](), barrierSeats, map[string]uintptr{"timeout": 8, "word": 128, "ended": 256, "freed": 384}},
		{reflect.TypeFor[rwWords](), rwLines, map[string]uintptr{
			"writer": 128, "phase": 256, "drained": 264, "top": 272, "free": 384,
		}},
		{reflect.TypeFor[rwReaders](), 128, nil},
		{reflect.TypeFor[groupWords](), groupShares, map[string]uintptr{"total": 128, "gate": 136, "top": 144, "log": 256}},
	} {
		if test.t.Size() != test.size {
			t.Errorf("%v has %d bytes, want %d", test.t, test.t.Size(), test.size)
		}
		for name, off := range test.at {
			if f, ok := test.t.FieldByName(name); !ok || f.Offset != off {
				t.Errorf("%v.%s is at %d, want %d", test.t, name, f.Offset, off)
			}
		}
	}
}
