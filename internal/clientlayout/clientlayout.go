// Package clientlayout lets the tests of the packages that define the layout of shared memory check
// that the clients in C and Python know the same layout.
package clientlayout

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A client is a file with the constants of the layout.
type client struct {
	path   string
	define *regexp.Regexp // a constant's name, without prefix, and value
}

var clients = []client{
	{"clients/c/mp.h", regexp.MustCompile(`^#define MP_(\w+) (\w+)$`)},
	{"clients/python/mp.py", regexp.MustCompile(`^(\w+) = (\w+)$`)},
}

// section begins the constants of one package. The last one is "end".
var section = regexp.MustCompile(`^(?:/\*|#) layout: (\S+?)(?: \*/)?$`)

// Check fails the test unless each client has exactly these constants in the section of a package.
func Check(t *testing.T, pkg string, want map[string]uint64) {
	t.Helper()
	for _, c := range clients {
		got, err := c.constants()
		if err != nil {
			t.Fatal(err)
		}
		if got[pkg] == nil {
			t.Fatalf("%s has no section %q", c.path, pkg)
		}
		for name, v := range want {
			if has, ok := got[pkg][name]; !ok || has != v {
				t.Errorf("%s, section %s: %s is %d (found: %t), want %d", c.path, pkg, name, has, ok, v)
			}
		}
		for name := range got[pkg] {
			if _, ok := want[name]; !ok {
				t.Errorf("%s, section %s: %s is checked by no test", c.path, pkg, name)
			}
		}
	}
}

// Sections returns the names of the sections of each client, by its path.
func Sections(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, c := range clients {
		got, err := c.constants()
		if err != nil {
			t.Fatal(err)
		}
		for name := range got {
			all[c.path] = append(all[c.path], name)
		}
	}
	return all
}

// constants returns the constants of a client by section and name.
func (c client) constants() (map[string]map[string]uint64, error) {
	root, err := root()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, c.path))
	if err != nil {
		return nil, err
	}
	all := make(map[string]map[string]uint64)
	in := "end"
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if m := section.FindStringSubmatch(line); m != nil {
			if in = m[1]; in != "end" {
				all[in] = make(map[string]uint64)
			}
			continue
		}
		if in == "end" {
			continue
		}
		m := c.define.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%s, section %s: %q is no constant", c.path, in, line)
		}
		v, err := strconv.ParseUint(m[2], 0, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.path, err)
		}
		all[in][m[1]] = v
	}
	return all, nil
}

// root returns the directory of this module.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "clients")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no directory with the clients is above the test")
		}
		dir = parent
	}
}
