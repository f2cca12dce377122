package bench

// Schema is the version of Report's JSON.
const Schema = 2

// A Report holds cells and the machine on which they were measured. Its JSON form is what mpbench
// -json writes.
type Report struct {
	Schema  int     `json:"schema"`
	Machine Machine `json:"machine"`
	Place   string  `json:"place,omitempty"` // to which CPUs the processes were bound, if a Placement chose them
	Results []Cell  `json:"results"`
}

// NewReport returns a report of cells that were measured on this machine.
func NewReport(cells []Cell) Report {
	if cells == nil {
		cells = []Cell{}
	}
	return Report{Schema: Schema, Machine: ThisMachine(), Results: cells}
}
