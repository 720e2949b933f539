package schemas

import "time"

// Record is what one accepted request leaves in the spool: an envelope and
// what the delivery side must know about it.
type Record struct {
	Meta     Meta
	Envelope Envelope
}

// Meta travels with an envelope through the spool. It never carries what
// scrubbing removed.
type Meta struct {
	// ID is a ULID, given by the spool when the record is appended; ordered by time.
	ID string `json:"id,omitempty"`
	// ProjectID is the gateway's project, Project its configured name (the metrics' label).
	ProjectID uint64 `json:"project_id"`
	Project   string `json:"project"`
	// Key is the public key the client used.
	Key string `json:"key,omitempty"`
	// ReceivedAt is the gateway's clock when the request came in.
	ReceivedAt time.Time `json:"received_at"`
	// ClientIP is the client's address, "" when the project does not pass it on.
	ClientIP string `json:"client_ip,omitempty"`
	// UserAgent is the client's User-Agent header.
	UserAgent string `json:"user_agent,omitempty"`
	// EventID is the envelope's event id, 32 lower-case hex digits, "" without one.
	EventID string `json:"event_id,omitempty"`
	// Release and Fingerprint describe an error for the console; "" otherwise.
	Release     string `json:"release,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	// Counts has one entry per item, in the envelope's order.
	Counts []Count `json:"counts"`
	// Destinations are the names of the project's upstreams the record goes to.
	Destinations []string `json:"destinations"`
}

// Count is how much of which category an item is: containers count their
// members (item_count), all else counts one.
type Count struct {
	Category Category `json:"c"`
	Quantity int      `json:"n"`
}

// Items is the sum of the quantities.
func (m *Meta) Items() int {
	n := 0
	for _, c := range m.Counts {
		n += c.Quantity
	}
	return n
}

// Final is how one item of a record ended, at one destination.
type Final struct {
	Outcome Outcome `json:"o"`
	Reason  string  `json:"r,omitempty"`
}

// AllFinal is the same end for each of n items.
func AllFinal(n int, o Outcome, reason string) []Final {
	finals := make([]Final, n)
	for i := range finals {
		finals[i] = Final{o, reason}
	}
	return finals
}
