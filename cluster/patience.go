package cluster

import "time"

// A patience bounds the wait for the answer to one request.
type patience struct {
	now  time.Duration // of the next attempt
	most time.Duration // that it grows to, when attempts have not been answered in time
}

// newPatience returns the patience of a request that moves little data.
func newPatience() patience { return patience{firstPatience, requestTime} }

// transferRate is the bytes per second that a transfer may count on at first. If that does not suffice, it gets twice as long.
const transferRate = 4 << 20

// transferPatience returns the patience of a request that moves so many bytes. It grows until the network suffices.
func transferPatience(bytes uint64) patience {
	return patience{requestTime + time.Duration(bytes/transferRate)*time.Second, keptFor}
}
