package ring_test

import (
	"fmt"
	"time"
)

// A stormCount is what a storm has come to.
type stormCount struct {
	messages                        int // whose Put has returned
	producers, consumers            int // that were killed
	stopped                         int
	missing, extra, twice, disorder int // messages: see stormLimits

	standstill, delay time.Duration // the longest ones: see stormGauge
}

func (c *stormCount) add(d stormCount) {
	c.messages += d.messages
	c.producers += d.producers
	c.consumers += d.consumers
	c.stopped += d.stopped
	c.missing += d.missing
	c.extra += d.extra
	c.twice += d.twice
	c.disorder += d.disorder
	c.standstill = max(c.standstill, d.standstill)
	c.delay = max(c.delay, d.delay)
}

func (c *stormCount) String() string {
	return fmt.Sprintf("%d messages, killed %d producers and %d consumers, stopped %d processes: "+
		"%d missing, %d extra, %d twice, %d out of order; all processes slept for %v at most, and one was delayed by a death, and the scheduler, for %v",
		c.messages, c.producers, c.consumers, c.stopped, c.missing, c.extra, c.twice, c.disorder,
		c.standstill.Round(time.Millisecond), c.delay.Round(time.Millisecond))
}
