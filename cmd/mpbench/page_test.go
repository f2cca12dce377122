package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/bench"
)

// exampleCells returns results of each measure, with a transport whose name would break a page if it were not escaped. The
// trials are of rounds in which a cache line took so long.
func exampleCells(lines ...float64) (cells []bench.Cell) {
	add := func(r bench.Result) {
		r.Messages, r.Seconds, r.Verified = 1, 1, true
		if r.Producers == 0 {
			r.Producers, r.Consumers = 1, 1
		}
		var trials []bench.Result
		for i, line := range lines {
			trial := r
			if i%2 == 1 {
				trial.MsgsPerSec, trial.P50 = r.MsgsPerSec/2, 2*r.P50
			}
			trial.Limits = bench.Limits{Line: line, Futex: 5000, Copy: 20e9}
			trials = append(trials, trial)
		}
		cells = append(cells, bench.NewCell(trials))
	}
	for _, transport := range []string{"pipe", "queue", "<b>&\""} {
		for _, size := range []int{8, 64, 65536} {
			add(bench.Result{Transport: transport, Measure: bench.Throughput, Size: size, MsgsPerSec: 1e6, BytesPerSec: 1e6 * float64(size)})
			add(bench.Result{Transport: transport, Measure: bench.Latency, Size: size, P50: 300, P90: 400, P99: 5000, P999: 70000, OfLimit: 0.5})
		}
	}
	add(bench.Result{Transport: "queue", Measure: bench.Throughput, Size: 64, Producers: 4, Consumers: 4, MsgsPerSec: 3e6})
	for _, rate := range []int{1000, 10000} {
		add(bench.Result{Transport: "pipe", Measure: bench.Paced, Size: 64, Rate: rate, P50: 4000, P99: 9000})
	}
	add(bench.Result{Transport: "lock", Measure: bench.Recovery, P50: 4_000_000, P99: 9_000_000})
	add(bench.Result{Transport: "pipe", Measure: bench.Idle, Size: 64, CPU: 1000, Switches: 2})
	return cells
}

// TestPage writes a page of results of each measure.
func TestPage(t *testing.T) {
	cells := exampleCells(100, 100, 100)
	var out bytes.Buffer
	if err := writePage(&out, bench.NewReport(cells)); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	pictures := regexp.MustCompile(`(?s)<svg viewBox="0 0 720.*?</svg>`).FindAllString(text, -1)
	if len(pictures) != 8 {
		t.Errorf("%d pictures, want 8", len(pictures))
	}
	for _, picture := range pictures {
		checkPicture(t, picture)
	}
	for _, want := range []string{"Throughput", "Volume", "Messages from process to process", "What costs what", "cache line, there and back", "Round trips", "Percentiles", "Latency over load", "Scaling",
		"&lt;b&gt;&amp;&#34;", "1.00 M/s", "4.00 ms", "paced, 10.0 k a second", "Medians of 3 trials"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, unwanted := range []string{"<b>", "http:", "https:", "src=", "<script", "<link", "url("} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%q is in the page", unwanted)
		}
	}
	if rows := strings.Count(text, "<tr><td>"); rows != len(cells) {
		t.Errorf("%d rows of %d cells", rows, len(cells))
	}
	out.Reset()
	if err := writePage(&out, bench.NewReport(nil)); err != nil || strings.Contains(out.String(), "<figure>") {
		t.Errorf("an empty report: %v\n%s", err, &out)
	}
}

// checkPicture checks that a picture can be parsed, and that all of its places are numbers.
func checkPicture(t *testing.T, picture string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(picture))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, picture)
		}
	}
	if strings.Contains(picture, "NaN") || strings.Contains(picture, "Inf") {
		t.Errorf("a place that is no number in %s", picture)
	}
}

// TestPageNearAndFar tells rounds with the CPUs near together from those with CPUs far apart.
func TestPageNearAndFar(t *testing.T) {
	cells := exampleCells(100, 400, 110, 410)
	var out bytes.Buffer
	if err := writePage(&out, bench.NewReport(cells)); err != nil {
		t.Fatal(err)
	}
	near, far, found := strings.Cut(out.String(), "CPUs far apart, 2 rounds<")
	if !found || !strings.Contains(near, "CPUs near together, 2 rounds<") {
		t.Fatalf("no section of near and of far rounds in\n%s", &out)
	}
	for _, section := range []string{near, far} {
		if rows := strings.Count(section, "<tr><td>"); rows != len(cells) {
			t.Errorf("%d rows of %d cells", rows, len(cells))
		}
	}
	// Every second trial, which is the far one, is half as fast.
	if !strings.Contains(near, "<td>1.00 M/s</td>") || strings.Contains(near, "<td>500 k/s</td>") || strings.Contains(far, "<td>1.00 M/s</td>") {
		t.Errorf("near and far trials are mixed in\n%s", &out)
	}
}

// TestPictures writes pictures as files.
func TestPictures(t *testing.T) {
	dir := t.TempDir()
	if err := writePictures(dir, bench.NewReport(exampleCells(100, 400, 110, 410, 120))); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(files) != 8 {
		t.Errorf("the files %q, %v, want 8", files, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkPicture(t, string(data))
		for _, want := range []string{"<style>", "prefers-color-scheme: dark", "CPUs near together, 3 rounds of 5", `class="title"`} {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s: %q is missing", path, want)
			}
		}
	}
	if err := writePictures(filepath.Join(dir, "none"), bench.NewReport(exampleCells(1))); err == nil {
		t.Error("pictures in a directory that does not exist: no error")
	}
}

// TestCommandLine quotes what a shell would change.
func TestCommandLine(t *testing.T) {
	if got, want := commandLine([]string{"/tmp/x", "-json", "it's a.json", "-sizes", "64,1024"}), `mpbench -json 'it'\''s a.json' -sizes 64,1024`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
