package proc

import "strings"

// environment returns base with added, of which the last of a key counts.
func environment(base, added []string) []string {
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
