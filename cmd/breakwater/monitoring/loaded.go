package monitoring

// Loaded are the rules that a Prometheus with the rules file has: recording
// rules and alerts, in the order of the file.
func Loaded() []Rule { return parsedRules() }

// Name is the alert's or the recorded series' name.
func (r Rule) Name() string {
	if r.Alert != "" {
		return r.Alert
	}
	return r.Record
}
