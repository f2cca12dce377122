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
var wanted = sync.OnceValues(func() (string, int64) {
	name, count, ok := strings.Cut(os.Getenv(Env), ":")
	if !ok {
		return name, 1
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		panic("crash: " + Env + ": want a point or point:n: " + err.Error())
	}
	return name, n
})

// At kills this process with SIGKILL if the environment names p and this is the nth time that the process passes it.
func At(p Point) {
	name, n := wanted()
	if name != p.String() || passed.Add(1) != n {
		return
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
