package sys

import (
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
)

// Cgroups finds the control groups in which processes are. Where both versions are mounted, a controller belongs to one of
// them, and a process has a group in each.
type Cgroups struct {
	root       fs.FS
	controller string
	mounts     []cgroupMount // those of the controller in version 1 first
}

// A cgroupMount is where a hierarchy of control groups is mounted.
type cgroupMount struct {
	v2   bool
	root string // the group that is mounted: a container may see a part of the hierarchy
	dir  string // without the first slash
}

// A Cgroup is the control group of a process in one hierarchy.
type Cgroup struct {
	V2    bool   // of version 2, which has all controllers in one hierarchy
	mount string // without the first slash
	path  string // below mount; begins with a slash
}

// FindCgroups reads where the groups that have a controller, such as "memory" or "cpu", are mounted. root is the system's
// root directory.
func FindCgroups(root fs.FS, controller string) *Cgroups {
	c := &Cgroups{root: root, controller: controller}
	var second []cgroupMount
	for line := range lines(root, "proc/self/mountinfo") {
		// id parent device root mount-point options... - type source options
		left, right, _ := strings.Cut(line, " - ")
		where, kind := strings.Fields(left), strings.Fields(right)
		if len(where) < 5 || len(kind) < 3 {
			continue
		}
		m := cgroupMount{root: unescape.Replace(where[3]), dir: strings.TrimPrefix(unescape.Replace(where[4]), "/")}
		switch {
		case kind[0] == "cgroup2":
			m.v2 = true
			second = append(second, m)
		case kind[0] == "cgroup" && listed(kind[2], controller):
			c.mounts = append(c.mounts, m)
		}
	}
	c.mounts = append(c.mounts, second...)
	return c
}

// Of returns the groups of a process: a number, or "self". Those of version 1 come first. A group that
// is not visible here, or whose process has ended, is left out.
func (c *Cgroups) Of(process string) (groups []Cgroup) {
	if len(c.mounts) == 0 {
		return nil
	}
	own := make(map[bool]string) // by whether it is of version 2
	for line := range lines(c.root, path.Join("proc", process, "cgroup")) {
		number, rest, _ := strings.Cut(line, ":")
		controllers, dir, found := strings.Cut(rest, ":")
		switch {
		case !found:
		case number == "0" && controllers == "":
			own[true] = dir
		case listed(controllers, c.controller):
			own[false] = dir
		}
	}
	for _, m := range c.mounts {
		below, ok := m.below(own[m.v2])
		if ok {
			groups = append(groups, Cgroup{V2: m.v2, mount: m.dir, path: below})
		}
	}
	return groups
}

// below returns the path of a group below the mount point. It returns false if the group is not mounted there.
func (m cgroupMount) below(group string) (string, bool) {
	below, ok := strings.CutPrefix(group, strings.TrimSuffix(m.root, "/"))
	return path.Clean("/" + below), ok && group != "" && (below == "" || below[0] == '/') && !slices.Contains(strings.Split(below, "/"), "..")
}

// Dir returns the directory of g, without the first slash.
func (g Cgroup) Dir() string { return path.Join(g.mount, g.path) }

// Up yields the directories of g and of the groups above it, up to the mount point, without the first slash.
func (g Cgroup) Up() iter.Seq[string] {
	return func(yield func(string) bool) {
		for p := g.path; yield(path.Join(g.mount, p)) && p != "/"; p = path.Dir(p) {
		}
	}
}

// lines yields the lines of a file, without their ends. A file that can't be read has none.
func lines(root fs.FS, name string) iter.Seq[string] {
	text, _ := fs.ReadFile(root, name)
	return strings.SplitSeq(string(text), "\n")
}

// unescape restores the characters that mountinfo writes as octal numbers.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// listed reports whether word is in list, which has commas between words.
func listed(list, word string) bool { return slices.Contains(strings.Split(list, ","), word) }
