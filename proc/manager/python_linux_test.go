package manager_test

import (
	"os"
	"strings"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// pythonsMethods prints, for each type on its standard input, the methods of its proxies.
const pythonsMethods = `
import sys
from multiprocessing.managers import SyncManager
for line in sys.stdin:
    print(*SyncManager._registry.get(line.strip(), (None, ()))[1], flush=True)
`

// notations are how methods that Python calls for an operator stand in the table, of an object x.
var notations = map[string]string{
	"__add__": "x + other", "__mul__": "x * n", "__rmul__": "x * n", "__imul__": "x *= n",
	"__contains__": "in x", "__delitem__": "del x[", "__getitem__": "x[", "__setitem__": "] = v", "__len__": "len(x)",
	"__iter__": "iter(x)", "__reversed__": "reversed(x)",
	"__or__": "x | other", "__ror__": "x | other", "__ior__": "x |= other", "__and__": "x & other", "__rand__": "x & other",
	"__iand__": "x &= other", "__sub__": "x - other", "__rsub__": "x - other", "__isub__": "x -= other",
	"__xor__": "x ^ other", "__rxor__": "x ^ other", "__ixor__": "x ^= other",
	"__le__": "x <= other", "__lt__": "x < other", "__ge__": "x >= other", "__gt__": "x > other",
	"__getattribute__": "x.name", "__setattr__": "x.name = v", "__delattr__": "del x.name",
}

// The table of the manager's page has each method of Python's proxies.
func TestPythonsMethods(t *testing.T) {
	page := string(Must(os.ReadFile("../../docs/design/manager.md"))(t))
	_, page, _ = strings.Cut(page, "\n| Python | here |\n")
	table, _, _ := strings.Cut(page, "\n\n")
	table = strings.ReplaceAll(table, `\|`, "|")
	p := StartPython(t, pythonsMethods)
	for _, typ := range []string{"dict", "list", "set", "Namespace"} { // set: from Python 3.14 on
		kind := strings.ToLower(typ[:1])
		for method := range strings.FieldsSeq(p.Ask(typ)) {
			notation, operator := notations[method]
			switch {
			case method == "__class_getitem__": // of the class, not of a proxy
			case operator:
				if !strings.Contains(table, strings.ReplaceAll(notation, "x", kind)) {
					t.Errorf("the table has no %s of %s", method, kind)
				}
			case !hasMethod(table, kind, method):
				t.Errorf("the table has no %s.%s", kind, method)
			}
		}
	}
}

// hasMethod reports whether a row that begins with a method or an expression of kind names the method.
func hasMethod(table, kind, method string) bool {
	for row := range strings.Lines(table) {
		python, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | `")
		for name := range strings.SplitSeq(python, "`") {
			name, _, _ = strings.Cut(name, "(")
			if of, bare, found := strings.Cut(name, "."); found && of == kind && bare == method || !found && name == method &&
				strings.Contains(row, kind+".") {
				return true
			}
		}
	}
	return false
}
