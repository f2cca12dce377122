package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A Placement says on which CPUs the processes of a run should be.
type Placement string

// The placements. Each names where two processes that talk to each other are.
const (
	PlaceCore     Placement = "core"     // on one CPU, where they take turns
	PlaceSiblings Placement = "siblings" // on two hyperthreads of one core
	PlaceSocket   Placement = "socket"   // on two cores of one socket and one NUMA node, with a cache in common if there is one
	PlaceNUMA     Placement = "numa"     // on two NUMA nodes, of one socket if a socket has several
	PlaceFar      Placement = "far"      // as far apart as possible: sockets, nodes, cores without a common cache, cores
	PlaceAuto     Placement = "auto"     // as near as possible, but on two cores if there are two
)

// Placements returns the values that a Placement can have.
func Placements() []Placement {
	return []Placement{PlaceCore, PlaceSiblings, PlaceSocket, PlaceNUMA, PlaceFar, PlaceAuto}
}

// ErrPlace means that this machine has no CPUs of the kind that a Placement asks for, or that this process may not use
// them.
var ErrPlace = errors.New("there are no such CPUs that this process may use")

// CPUs returns two CPUs of p among those that this process may use, and says what they are, such as "socket: CPUs 0
// and 1, two cores of one socket, with a cache in common". For PlaceCore it returns one. They are what Scenario.Pin wants. It reads the topology
// from /sys, and returns an error that wraps ErrPlace, or fs.ErrNotExist if the system does not tell
// its topology.
func (p Placement) CPUs() (cpus []int, what string, err error) {
	allowed, err := sys.CPUs()
	if err != nil {
		return nil, "", fmt.Errorf("bench: list the CPUs that the process may use: %w", err)
	}
	cpus, what, err = p.choose(os.DirFS("/sys"), allowed)
	if err != nil {
		return nil, "", fmt.Errorf("bench: place processes: %s: %w", p, err)
	}
	return cpus, what, nil
}

// A place is where a logical CPU is.
type place struct {
	cpu, core, socket, node int
	cache                   string // the CPUs that share its largest cache
}

// choose is CPUs for a file system that is mounted at /sys.
func (p Placement) choose(sysfs fs.FS, allowed []int) ([]int, string, error) {
	var places []place
	for _, cpu := range allowed {
		at, err := placeOf(sysfs, cpu)
		if err != nil {
			return nil, "", err
		}
		places = append(places, at)
	}
	if p == PlaceCore {
		return []int{places[0].cpu}, fmt.Sprintf("%s: CPU %d alone", p, places[0].cpu), nil
	}
	for _, kind := range p.kinds() {
		for i, a := range places {
			for _, b := range places[i+1:] {
				if kind.is(a, b) {
					return []int{a.cpu, b.cpu}, fmt.Sprintf("%s: CPUs %d and %d, %s", p, a.cpu, b.cpu, kind.what), nil
				}
			}
		}
	}
	if p == PlaceAuto || p == PlaceFar { // there is but one CPU
		return []int{places[0].cpu}, fmt.Sprintf("%s: CPU %d alone", p, places[0].cpu), nil
	}
	return nil, "", fmt.Errorf("%w: want %s", ErrPlace, p.kinds()[0].what)
}

// A kind is how two CPUs are related.
type kind struct {
	what string
	is   func(a, b place) bool
}

var (
	siblings = kind{"two hyperthreads of one core", func(a, b place) bool { return a.socket == b.socket && a.core == b.core }}
	cache    = kind{"two cores of one socket, with a cache in common", func(a, b place) bool {
		return cores.is(a, b) && a.cache != "" && a.cache == b.cache
	}}
	cores = kind{"two cores of one socket", func(a, b place) bool {
		return a.socket == b.socket && a.node == b.node && a.core != b.core
	}}
	apart = kind{"two cores of one socket, without a cache in common", func(a, b place) bool {
		return cores.is(a, b) && a.cache != b.cache
	}}
	nodes    = kind{"two NUMA nodes of one socket", func(a, b place) bool { return a.socket == b.socket && a.node != b.node }}
	anyNodes = kind{"two NUMA nodes", func(a, b place) bool { return a.node != b.node }}
	sockets  = kind{"two sockets", func(a, b place) bool { return a.socket != b.socket }}
)

// kinds returns what p looks for, in the order of preference.
func (p Placement) kinds() []kind {
	switch p {
	case PlaceSiblings:
		return []kind{siblings}
	case PlaceSocket:
		return []kind{cache, cores}
	case PlaceNUMA:
		return []kind{nodes, anyNodes}
	case PlaceFar:
		return []kind{sockets, anyNodes, apart, cores, siblings}
	}
	return []kind{cache, cores, nodes, sockets, siblings}
}

// placeOf reads where a CPU is.
func placeOf(sysfs fs.FS, cpu int) (place, error) {
	dir := fmt.Sprintf("devices/system/cpu/cpu%d/", cpu)
	at := place{cpu: cpu}
	var err error
	if at.core, err = intIn(sysfs, dir+"topology/core_id"); err != nil {
		return place{}, err
	}
	if at.socket, err = intIn(sysfs, dir+"topology/physical_package_id"); err != nil {
		return place{}, err
	}
	nodes, err := fs.Glob(sysfs, dir+"node[0-9]*")
	if err != nil {
		return place{}, err
	}
	for _, name := range nodes { // none, if the kernel knows no nodes: then there is one
		at.node, _ = strconv.Atoi(strings.TrimPrefix(name, dir+"node"))
	}
	return at, at.readCache(sysfs, dir)
}

// readCache reads which CPUs share the cache of the highest level.
func (at *place) readCache(sysfs fs.FS, dir string) error {
	levels, err := fs.Glob(sysfs, dir+"cache/index[0-9]*/level")
	if err != nil {
		return err
	}
	highest := 0
	for _, path := range levels { // none, on many virtual machines
		level, err := intIn(sysfs, path)
		if err != nil {
			return err
		}
		if level <= highest {
			continue
		}
		shared, err := fs.ReadFile(sysfs, strings.TrimSuffix(path, "level")+"shared_cpu_list")
		if err != nil {
			return err
		}
		highest, at.cache = level, strings.TrimSpace(string(shared))
	}
	return nil
}

// intIn reads a file that holds a number.
func intIn(sysfs fs.FS, path string) (int, error) {
	text, err := fs.ReadFile(sysfs, path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// ParsePlacement returns the Placement of that name, or a *ScenarioError.
func ParsePlacement(name string) (Placement, error) {
	if p := Placement(name); slices.Contains(Placements(), p) {
		return p, nil
	}
	return "", wrong("Place", strconv.Quote(name), oneOf(Placements()))
}
