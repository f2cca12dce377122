package proc

import "time"

// clock returns the time since this process began to count it. time.Now would take twice as long, since it
// reads the date, too.
func clock() time.Duration { return time.Since(clockBegan) }

var clockBegan = time.Now()
