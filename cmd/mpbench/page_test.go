package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/bench"
)

// TestPage writes a page of results of each measure, with a transport whose name would break it if it were not escaped.
func TestPage(t *testing.T) {
	var cells []bench.Cell
	add := func(r bench.Result) {
		r.Messages, r.Seconds, r.Verified = 1, 1, true
		if r.Producers == 0 {
			r.Producers, r.Consumers = 1, 1
		}
		slower := r
		slower.MsgsPerSec, slower.P50 = r.MsgsPerSec/2, 2*r.P50
		cells = append(cells, bench.NewCell([]bench.Result{r, slower, r}))
	}
	for _, transport := range []string{"pipe", "queue", "<b>&\""} {
		for _, size := range []int{8, 64, 65536} {
			add(bench.Result{Transport: transport, Measure: bench.Throughput, Size: size, MsgsPerSec: 1e6, BytesPerSec: 1e6 * float64(size)})
			if transport != "<b>&\"" { // it carries no messages that the package knows
				add(bench.Result{Transport: transport, Measure: bench.Latency, Size: size, P50: 300, P90: 400, P99: 5000, P999: 70000, OfLimit: 0.5})
			}
		}
	}
	add(bench.Result{Transport: "queue", Measure: bench.Throughput, Size: 64, Producers: 4, Consumers: 4, MsgsPerSec: 3e6})
	for _, rate := range []int{1000, 10000} {
		add(bench.Result{Transport: "pipe", Measure: bench.Paced, Size: 64, Rate: rate, P50: 4000, P99: 9000})
	}
	add(bench.Result{Transport: "lock", Measure: bench.Recovery, P50: 4_000_000, P99: 9_000_000})
	add(bench.Result{Transport: "pipe", Measure: bench.Idle, Size: 64, CPU: 1000, Switches: 2})

	var out bytes.Buffer
	if err := writePage(&out, bench.NewReport(cells)); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	pictures := regexp.MustCompile(`(?s)<svg viewBox="0 0 720.*?</svg>`).FindAllString(text, -1)
	if len(pictures) != 6 {
		t.Errorf("%d pictures, want 6", len(pictures))
	}
	for _, picture := range pictures {
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
	for _, want := range []string{"Throughput", "Volume", "Round trips", "Percentiles", "Latency over load", "Scaling",
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

// TestCommandLine quotes what a shell would change.
func TestCommandLine(t *testing.T) {
	if got, want := commandLine([]string{"/tmp/x", "-json", "it's a.json", "-sizes", "64,1024"}), `mpbench -json 'it'\''s a.json' -sizes 64,1024`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
