//go:build crashpoints

package crash

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Enabled reports whether this binary was built with crash points.
const Enabled = true

var passed atomic.Int64

// wanted reads from the environment the name of a point, and at which of its passages the process is to die.
var wanted = sync.OnceValues(func() (string, where) {
	name, stops := strings.CutPrefix(os.Getenv(Env), Stop)
	name, count, ok := strings.Cut(name, ":")
	if !ok {
		return name, where{1, stops}
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		panic("crash: " + Env + ": want a point or point:n: " + err.Error())
	}
	return name, where{n, stops}
})

type where struct {
	count int64
	stops bool
}

// At kills this process with SIGKILL, or stops it, if p is the point named in
// the environment and has now been passed often enough.
func At(p Point) {
	name, at := wanted()
	if name != p.String() || passed.Add(1) != at.count {
		return
	}
	if at.stops {
		if err := stop(); err != nil {
			panic("crash: " + err.Error())
		}
		return // another process has sent SIGCONT
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic("crash: " + err.Error())
	}
	select {}
}
