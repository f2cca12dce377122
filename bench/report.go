package bench

// Schema is the version of Report's JSON.
const Schema = 1

// A Report is what was measured on a machine, as JSON has it.
type Report struct {
	Schema  int      `json:"schema"`
	Machine Machine  `json:"machine"`
	Results []Result `json:"results"`
}

// NewReport returns the report of results on this machine.
func NewReport(results []Result) Report {
	if results == nil {
		results = []Result{}
	}
	return Report{Schema: Schema, Machine: ThisMachine(), Results: results}
}
