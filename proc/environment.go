package proc

import (
	"strconv"
	"strings"
)

// childEnv marks the environment of a child. Its value is the number of segments
// that it inherits.
const childEnv = "MP_PROC_CHILD"

// environment returns base with added, of which the last of a key counts, and
// the mark of a child with so many segments.
func environment(base, added []string, segments int) []string {
	added = append(added[:len(added):len(added)], childEnv+"="+strconv.Itoa(segments))
	last := make(map[string]int)
	for i, kv := range added {
		last[key(kv)] = i
	}
	var env []string
	for _, kv := range base {
		if _, replaced := last[key(kv)]; !replaced {
			env = append(env, kv)
		}
	}
	for i, kv := range added {
		if last[key(kv)] == i {
			env = append(env, kv)
		}
	}
	return env
}

func key(kv string) string {
	k, _, _ := strings.Cut(kv, "=")
	return k
}
