package bench

// Schema is the version of Report's JSON.
const Schema = 1

// A Report holds results and the machine on which they were measured. Its JSON form is what mpbench -json writes.
type Report struct {
	Schema  int      `json:"schema"`
	Machine Machine  `json:"machine"`
	Results []Result `json:"results"`
}

// NewReport returns a report of results that were measured on this machine.
func NewReport(results []Result) Report {
	if results == nil {
		results = []Result{}
	}
	return Report{Schema: Schema, Machine: ThisMachine(), Results: results}
}
