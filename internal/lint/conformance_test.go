package lint

import (
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

// conformance lists, by the letter of the area, the numbers of the behaviours of multiprocessing that
// mp keeps or replaces by its own: P those of Process, S of start methods, K of Pool, G of managers, N of
// listeners and clients. Behaviours that do not carry over to Go are left out.
var conformance = map[string]string{
	"P": `01 02 03 04 05 06 07 08 10 11 12 13 14 15 16 17 18 19 20 21 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
		40 42 43 44 45 46 47`,
	"S": "01 02 04 06 07 08",
	"G": "01 02 03 04 05 06 07",
	"N": "01 02 03 04",
	"K": "01 02 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25",
}

// TestConformance checks that each behaviour of conformance has a test whose name begins with its id,
// as TestP05_P06_ExpiredContext.
func TestConformance(t *testing.T) {
	ids := make(map[string]bool)
	head := regexp.MustCompile(`^Test((?:[A-Z][0-9]{2}_)+)`)
	for _, f := range sources(t) {
		if !f.test() {
			continue
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			if m := head.FindStringSubmatch(fn.Name.Name); m != nil {
				for id := range strings.SplitSeq(m[1], "_") {
					ids[id] = true
				}
			}
		}
	}
	for letter, numbers := range conformance {
		for _, number := range strings.Fields(numbers) {
			if !ids[letter+number] {
				t.Errorf("%s%s: no test has this id in its name", letter, number)
			}
		}
	}
}
