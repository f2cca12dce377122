package bench

// Schema is the version of Report's JSON.
const Schema = 2

// A Report holds cells and the machine on which they were measured. Its JSON form is what mpbench
// -json writes.
type Report struct {
	Schema  int     `json:"schema"`
	Machine Machine `json:"machine"`
	Results []Cell  `json:"results"`
}

// NewReport returns a report of cells that were measured on this machine.
func NewReport(cells []Cell) Report {
	if cells == nil {
		cells = []Cell{}
	}
	return Report{Schema: Schema, Machine: ThisMachine(), Results: cells}
}
