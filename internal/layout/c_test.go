package layout_test

import (
	"fmt"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// mixed is a struct whose layout leaves gaps.
type mixed struct {
	A int8
	B int16
	C uint8
	D int32
	E int8
	F int64
	G int8
	H float64
	I bool
	J float32
	K [3]uint8
	L [2]struct {
		M uint16
		N uint64
	}
	O int8
}

const mixedInC = `
#include <stdint.h>
#include <stdbool.h>
#include <stddef.h>
struct mixed {
	int8_t A; int16_t B; uint8_t C; int32_t D; int8_t E; int64_t F; int8_t G; double H;
	bool I; float J; uint8_t K[3]; struct { uint16_t M; uint64_t N; } L[2]; int8_t O;
};
`

func offsets() string {
	t := reflect.TypeFor[mixed]()
	var b strings.Builder
	for i := range t.NumField() {
		fmt.Fprintf(&b, "%d ", t.Field(i).Offset)
	}
	fmt.Fprint(&b, t.Size())
	return b.String()
}

// The layout is C's: as the ABIs of the architectures have it.
func TestLayoutIsC(t *testing.T) {
	const eight = "0 2 4 8 12 16 24 32 40 44 48 56 88 96" // 8-byte fields at multiples of 8
	want := map[string]string{
		"amd64": eight, "arm64": eight, "riscv64": eight,
		"386": "0 2 4 8 12 16 24 28 36 40 44 48 72 76", // at multiples of 4, as in C's i386 ABI
	}[runtime.GOARCH]
	if want == "" {
		t.Skip("no table for " + runtime.GOARCH)
	}
	if got := offsets(); got != want {
		t.Errorf("offsets and size: %s, want %s", got, want)
	}
}

// The same, as the C compiler of this machine has it. It need not have a C
// library for 32 bits.
func TestLayoutIsTheCompilers(t *testing.T) {
	flag := map[string]string{"amd64": "-m64", "386": "-m32"}[runtime.GOARCH]
	cc, err := exec.LookPath("cc")
	if err != nil || flag == "" {
		t.Skip("needs cc on x86")
	}
	program := mixedInC
	typ := reflect.TypeFor[mixed]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		program += fmt.Sprintf("_Static_assert(offsetof(struct mixed, %s) == %d, \"%s\");\n", f.Name, f.Offset, f.Name)
	}
	compile := func(size uintptr) (string, error) {
		cmd := exec.Command(cc, flag, "-ffreestanding", "-fsyntax-only", "-x", "c", "-")
		cmd.Stdin = strings.NewReader(program + fmt.Sprintf("_Static_assert(sizeof(struct mixed) == %d, \"size\");\n", size))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := compile(typ.Size()); err != nil {
		t.Errorf("offsets and size %s are not those of C: %v\n%s", offsets(), err, out)
	}
	if out, err := compile(typ.Size() + 1); err == nil || !strings.Contains(out, "size") {
		t.Errorf("cc does not see a wrong size: %v\n%s", err, out)
	}
}
