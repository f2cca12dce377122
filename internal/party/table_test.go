package party

import "testing"

// A goroutine that is about to wait when the table is closed does not start the table's timer again,
// which would keep the memory of the lines.
func TestClosedTableHasNoTimer(t *testing.T) {
	words := new(Words)
	table := NewTable(make([]Line, 3), words, NewHeapLocks(), nil, func() bool { return true })
	if err := table.Attach(); err != nil {
		t.Fatal(err)
	}
	table.Watch(words.Epoch.Load())
	if !table.scanner.Stop() {
		t.Error("no timer while a goroutine waits")
	}
	table.scheduledScan() // as the timer would
	table.Close()
	table.Watch(words.Epoch.Load())
	table.scheduledScan()
	if table.scanner.Stop() {
		t.Error("a closed table has a timer")
	}
}
