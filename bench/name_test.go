package bench

import (
	"errors"
	"testing"
)

// TestParseName parses the names of scenarios of all kinds.
func TestParseName(t *testing.T) {
	for _, s := range []Scenario{
		{Transport: "pipe", Measure: Latency, Size: 64},
		{Transport: "queue", Measure: Throughput, Size: 8, Producers: 4, Consumers: 2},
		{Transport: "os-pipe", Measure: Throughput, Size: 64, Batch: 16},
		{Transport: "queue", Measure: Latency, Size: 64, Content: ContentStruct},
		{Transport: "pipe", Measure: Paced, Size: 64, Rate: 1000},
		{Transport: "queue", Measure: Idle, Size: 64},
		{Transport: "lock", Measure: Recovery},
	} {
		got, err := ParseName(s.Name())
		if err != nil || got.Name() != s.Name() {
			t.Errorf("%s is parsed as %s, %v", s.Name(), got.Name(), err)
		}
	}
	for _, name := range []string{
		"", "Latency", "Latency/transport=pipe", "Latency/transport=pigeon/size=64", "Latency/transport=pipe/size=x",
		"Latency/transport=pipe/size=64/colour=red", "Encode/size=64", "Throughput/transport=lock/size=64",
	} {
		if s, err := ParseName(name); !errors.Is(err, ErrScenario) {
			t.Errorf("%q is parsed as %+v, %v", name, s, err)
		}
	}
}
