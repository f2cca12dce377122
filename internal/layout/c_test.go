package layout_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
#include <stdio.h>
struct mixed {
	int8_t A; int16_t B; uint8_t C; int32_t D; int8_t E; int64_t F; int8_t G; double H;
	bool I; float J; uint8_t K[3]; struct { uint16_t M; uint64_t N; } L[2]; int8_t O;
};
#define P(f) printf("%zu ", offsetof(struct mixed, f))
int main(void) {
	P(A); P(B); P(C); P(D); P(E); P(F); P(G); P(H); P(I); P(J); P(K); P(L); P(O);
	printf("%zu\n", sizeof(struct mixed));
	return 0;
}
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

// The same, as the C compiler of this machine has it.
func TestLayoutIsTheCompilers(t *testing.T) {
	flags := map[string]string{"amd64": "-m64", "386": "-m32"}[runtime.GOARCH]
	cc, err := exec.LookPath("cc")
	if err != nil || flags == "" {
		t.Skip("needs cc on x86")
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "mixed.c"), filepath.Join(dir, "mixed")
	if err := os.WriteFile(source, []byte(mixedInC), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, flags, "-o", program, source).CombinedOutput(); err != nil {
		t.Skipf("cc %s: %v\n%s", flags, err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := offsets(), strings.TrimSpace(string(out)); got != want {
		t.Errorf("offsets and size: %s, C has %s", got, want)
	}
}
