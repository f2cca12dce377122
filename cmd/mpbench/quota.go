package main

import (
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// quotaOf returns how many CPUs the control groups of this process, and the groups above them, let it use at one time,
// by their quotas. It is +Inf if there is no quota. Go's runtime does not tell: it never uses fewer than two threads.
func quotaOf(root fs.FS) float64 {
	least := math.Inf(1)
	for _, group := range sys.FindCgroups(root, "cpu").Of("self") {
		for dir := range group.Up() {
			least = min(least, quotaIn(root, dir, group.V2))
		}
	}
	return least
}

// quotaIn returns the quota of the group with a directory, in CPUs.
func quotaIn(root fs.FS, dir string, v2 bool) float64 {
	quota, period := textOf(root, dir+"/cpu.cfs_quota_us"), textOf(root, dir+"/cpu.cfs_period_us")
	if v2 {
		quota, period, _ = strings.Cut(textOf(root, dir+"/cpu.max"), " ")
	}
	q, errQ := strconv.ParseFloat(quota, 64) // "max" or -1: none
	p, errP := strconv.ParseFloat(period, 64)
	if errQ != nil || errP != nil || q <= 0 || p <= 0 {
		return math.Inf(1)
	}
	return q / p
}

// textOf returns the trimmed content of a file, "" if it can't be read.
func textOf(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
