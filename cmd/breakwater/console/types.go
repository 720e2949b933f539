package console

import (
	"time"

	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// The types in this file are the answers of the JSON API, as openapi.json
// describes them, and what the pages show. Times are RFC 3339 in UTC and left
// out when there is none; sizes are bytes; ages and durations are seconds.

// Destination is one queue and where it goes.
type Destination struct {
	Project     string      `json:"project"`
	Name        string      `json:"name"`
	Target      string      `json:"target,omitempty"`
	State       relay.State `json:"state"`
	Paused      bool        `json:"paused"`
	Depth       int64       `json:"depth"` // records waiting
	Items       int64       `json:"items"`
	Bytes       int64       `json:"bytes"`
	OldestAt    time.Time   `json:"oldest_at,omitzero"`
	OldestAge   float64     `json:"oldest_age_seconds"`
	InFlight    int         `json:"in_flight"`
	Concurrency int         `json:"concurrency"`
	Attempts    int64       `json:"attempts"`
	Delivered   int64       `json:"delivered"`
	Failures    int         `json:"failures_in_a_row"`
	DownSince   time.Time   `json:"down_since,omitzero"`
	NextRetry   time.Time   `json:"next_retry,omitzero"`
	Last        string      `json:"last,omitempty"`
	LastStatus  int         `json:"last_status,omitempty"`
	LastAt      time.Time   `json:"last_at,omitzero"`
	LastError   string      `json:"last_error,omitempty"`
	LastErrorAt time.Time   `json:"last_error_at,omitzero"`
	LastSuccess time.Time   `json:"last_success_at,omitzero"`
	Alert       string      `json:"alert,omitempty"`
	Limits      []Window    `json:"limits"`
	Dead        int64       `json:"dead_letters"`
	DeadBytes   int64       `json:"dead_letter_bytes"`
	// Configured is false for what is left of a destination that was taken out
	// of the configuration.
	Configured bool `json:"configured"`
}

// Window is a limit that an upstream announced; no categories means all.
type Window struct {
	Categories []schemas.Category `json:"categories"`
	Reason     string             `json:"reason,omitempty"`
	Until      time.Time          `json:"until"`
}

// ID names the destination as metrics do.
func (d Destination) ID() string { return d.Project + "/" + d.Name }

// SpoolState is the spool as a whole.
type SpoolState struct {
	Capacity int64 `json:"capacity_bytes"`
	Used     int64 `json:"used_bytes"`
	Free     int64 `json:"free_bytes"`
	MinFree  int64 `json:"min_free_bytes"`
	Records  int64 `json:"records"`
	Damaged  int64 `json:"damaged_records"`
	Dead     int64 `json:"dead_letters"`
	// Growth is in bytes per second; TimeToFull is left out while the spool
	// does not grow.
	Growth     float64            `json:"growth_bytes_per_second"`
	TimeToFull *float64           `json:"time_to_full_seconds,omitempty"`
	OldestAt   time.Time          `json:"oldest_at,omitzero"`
	OldestAge  float64            `json:"oldest_age_seconds"`
	Projects   []spool.ProjectUse `json:"projects"`
}

// Part is how much of the capacity is used, 0 to 1.
func (s SpoolState) Part() float64 {
	if s.Capacity <= 0 {
		return 0
	}
	return min(float64(s.Used)/float64(s.Capacity), 1)
}

// Record is one record of the spool for one destination.
type Record struct {
	ID          string          `json:"id"`
	Project     string          `json:"project"`
	Destination string          `json:"destination"`
	State       string          `json:"state"` // waiting, in_flight, delayed, dead
	Reason      string          `json:"reason,omitempty"`
	Attempts    int             `json:"attempts"`
	ReceivedAt  time.Time       `json:"received_at"`
	Due         time.Time       `json:"due,omitzero"`
	EventID     string          `json:"event_id,omitempty"`
	Release     string          `json:"release,omitempty"`
	Fingerprint string          `json:"fingerprint,omitempty"`
	Counts      []schemas.Count `json:"counts"`
	Size        int64           `json:"size_bytes"`
	// Title is the error in one line, cut and made harmless to show.
	Title string `json:"title,omitempty"`
}

// Items is how many items the record holds.
func (r Record) Items() (n int) {
	for _, c := range r.Counts {
		n += c.Quantity
	}
	return n
}

// Page is a piece of a long list; Next is the cursor of the one behind it.
type Page struct {
	Records []Record `json:"records"`
	Next    string   `json:"next,omitempty"`
}

// Group is one error group, over all releases.
type Group struct {
	Project      string    `json:"project"`
	Fingerprint  string    `json:"fingerprint"`
	Title        string    `json:"title"`
	Count        uint64    `json:"count"`
	Recent       uint64    `json:"recent"`
	Forwarded    uint64    `json:"forwarded"`
	Suppressed   uint64    `json:"suppressed"`
	Storming     bool      `json:"storming"`
	FirstSeen    time.Time `json:"first_seen"`
	LastSeen     time.Time `json:"last_seen"`
	FirstRelease string    `json:"first_release"`
	Releases     []string  `json:"releases"`
	Sample       *Sample   `json:"sample,omitempty"`
}

// Sample is one occurrence of a group, as it was stored: scrubbed.
type Sample struct {
	EventID     string    `json:"event_id"`
	Release     string    `json:"release"`
	Environment string    `json:"environment"`
	Platform    string    `json:"platform"`
	At          time.Time `json:"at"`
	Type        string    `json:"type"`
	Value       string    `json:"value"`
	Frames      []string  `json:"frames"`
}

// Release is the health of one release in one environment.
type Release struct {
	Project      string    `json:"project"`
	Environment  string    `json:"environment"`
	Release      string    `json:"release"`
	Sessions     uint64    `json:"sessions"`
	Crashed      uint64    `json:"crashed_sessions"`
	Adoption     float64   `json:"adoption"`
	Users        uint64    `json:"users"`
	CrashedUsers uint64    `json:"crashed_users"`
	Errors       uint64    `json:"errors"`
	FirstSeen    time.Time `json:"first_seen"`
	LastSeen     time.Time `json:"last_seen"`
	// The rates are left out without sessions or users.
	CrashFreeSessions *float64 `json:"crash_free_sessions,omitempty"`
	CrashFreeUsers    *float64 `json:"crash_free_users,omitempty"`
}

// Vital is one web vital of a project's last day.
type Vital struct {
	Project   string       `json:"project"`
	Vital     string       `json:"vital"`
	Device    string       `json:"device"`
	GoodUpTo  float64      `json:"good_up_to"`
	PoorOver  float64      `json:"poor_over"`
	Samples   uint64       `json:"samples"`
	Good      uint64       `json:"good"`
	Poor      uint64       `json:"poor"`
	P75       float64      `json:"p75"`
	ShareGood *float64     `json:"share_good,omitempty"`
	Points    []VitalPoint `json:"points"`
}

// VitalPoint is one quarter of an hour.
type VitalPoint struct {
	At      time.Time `json:"at"`
	Samples uint64    `json:"samples"`
	Good    uint64    `json:"good"`
	Poor    uint64    `json:"poor"`
	P75     float64   `json:"p75"`
}

// Ledger is what became of a project's items since the start.
type Ledger struct {
	Project         string         `json:"project"`
	Received        float64        `json:"received"`
	Recovered       float64        `json:"recovered"`
	Requeued        float64        `json:"requeued"`
	InSpool         float64        `json:"in_spool"`
	ClientDiscarded float64        `json:"client_discarded"`
	Outcomes        []OutcomeCount `json:"outcomes"`
}

// OutcomeCount is one line of the ledger; lines of 0 are left out.
type OutcomeCount struct {
	Category schemas.Category `json:"category"`
	Outcome  schemas.Outcome  `json:"outcome"`
	Reason   string           `json:"reason"`
	Items    float64          `json:"items"`
}

// Limited is one client, key or category that was refused lately.
type Limited struct {
	Project string    `json:"project"`
	Reason  string    `json:"reason"`
	Subject string    `json:"subject"`
	Refused int64     `json:"refused"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Until   time.Time `json:"until"`
}

// Quota is a quota and what is used of it.
type Quota struct {
	Project  string           `json:"project"`
	Category schemas.Category `json:"category"`
	Period   string           `json:"period"`
	Limit    int64            `json:"limit"`
	Used     int64            `json:"used"`
	Resets   time.Time        `json:"resets"`
}

// Config is the configuration in force.
type Config struct {
	Hash string `json:"hash"`
	// YAML has every key, secrets as ***.
	YAML     string    `json:"yaml"`
	Warnings []Warning `json:"warnings"`
}

// Warning is what the configuration allows and an operator should know of.
type Warning struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
	Fix    string `json:"fix"`
}
