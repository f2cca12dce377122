package main

import (
	"fmt"
	"math"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// remarks returns what about these surroundings changes the figures of a run by so much that the reader of the table must
// know it. mpbench doctor says more.
func remarks() (list []string) {
	cpus, err := sys.CPUs()
	quota := quotaOf(os.DirFS("/"))
	switch {
	case err == nil && len(cpus) == 1:
		list = append(list, "one CPU: the processes take turns on it, and a round trip that waits for the other process has context switches in it")
	case err == nil && quota < float64(len(cpus)):
		list = append(list, fmt.Sprintf("the control group's quota is %s: it stops all processes for the rest of each period",
			cpusText(quota)))
	}
	if !sys.HasFutexWaitv() {
		list = append(list, "no futex_waitv: deaths and cancellations are seen 1 to 32 ms later, which recovery shows")
	}
	return list
}

// cpusText returns a number of CPUs, such as "0.5 CPUs".
func cpusText(n float64) string {
	if math.IsInf(n, 1) {
		return "no quota"
	}
	return fmt.Sprintf("%.3g CPUs", n)
}
