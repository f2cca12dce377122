// Crossvet does what go vet does for other systems and processors:
//
//	crossvet linux/arm,windows/amd64 ./...
//
// It type-checks the standard library where go vet compiles it, which takes a tenth of the time.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: crossvet GOOS/GOARCH,... PACKAGE...")
		os.Exit(2)
	}
	failed := false
	for target := range strings.SplitSeq(os.Args[1], ",") {
		n, err := check(target, os.Args[2:])
		if err != nil {
			fmt.Fprintf(os.Stderr, "crossvet %s: %v\n", target, err)
		}
		failed = failed || err != nil || n > 0
	}
	if failed {
		os.Exit(1)
	}
}

// check prints the errors of the packages and their tests on one system, and returns their number.
func check(target string, patterns []string) (int, error) {
	system, processor, ok := strings.Cut(target, "/")
	if !ok {
		return 0, fmt.Errorf("not of the form GOOS/GOARCH")
	}
	loaded, err := packages.Load(&packages.Config{
		Mode:  packages.LoadAllSyntax,
		Env:   append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0"),
		Tests: true,
	}, patterns...)
	if err != nil {
		return 0, err
	}
	if len(loaded) == 0 {
		return 0, fmt.Errorf("no packages")
	}
	n := packages.PrintErrors(loaded)
	if n > 0 {
		return n, nil
	}
	graph, err := checker.Analyze(suite, loaded, nil)
	if err != nil {
		return 0, err
	}
	for _, action := range graph.Roots {
		if action.Err != nil {
			return n, fmt.Errorf("%v: %w", action, action.Err)
		}
		n += len(action.Diagnostics)
	}
	fmt.Printf("%s: %d packages, %d errors\n", target, len(loaded), n)
	return n, graph.PrintText(os.Stderr, -1)
}
