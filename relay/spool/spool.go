// Package spool states what a spool is; relay/spool/disk and its siblings are
// spools, and relay/spool/spooltest holds the suite each of them passes.
//
// The promise: Append returns nil only when the record is on stable storage
// once for all its destinations. From then on, for each destination, it is
// claimed again and again until it is settled; it survives kill -9 and power
// loss; one destination never waits for another.
package spool

import (
	"context"
	"errors"
	"io"
	"time"

	"breakwater/schemas"
)

// Destination names one queue: an upstream of a project.
type Destination struct {
	Project string `json:"project"` // the configured name
	Name    string `json:"name"`    // the upstream's name
}

// String is "project/name".
func (d Destination) String() string { return d.Project + "/" + d.Name }

// Spool keeps accepted records until every destination is done with them.
// All methods are safe for concurrent use.
type Spool interface {
	// Append stores rec once for rec.Meta.Destinations and returns after it is
	// durable. It sets rec.Meta.ID. It takes ownership of spilled payloads.
	// Errors: *FullError when there is no room; ErrClosed; others are faults
	// of the disk. After an error nothing of rec will ever be delivered.
	Append(ctx context.Context, rec *schemas.Record) error
	// Spill opens a file for a payload too large for memory, of a record of the
	// named project. Write it, Finish it, use it as an item's Payload; or Discard
	// it. What is written counts against the project's share until then, and from
	// then on with the record.
	Spill(project string) (Spill, error)
	// Claim hands out the oldest record of dst that is due and not claimed,
	// waiting for one until ctx ends. It returns ctx.Err() or ErrClosed.
	Claim(ctx context.Context, dst Destination) (Claim, error)
	// Stats describes every queue that has or may get records.
	Stats() Stats
	// List walks records, oldest first, from after the given id ("" for the
	// start), without claiming them. fn returns false to stop.
	List(q Query, fn func(Entry) bool) error
	// Open reads one stored record's envelope for inspection.
	Open(id string) (*schemas.Record, error)
	// Retry puts dead letters that match back into their queues; Drop settles
	// pending and dead records that match as dead_letter with reason "dropped"
	// and forgets them. Both return how many records they touched.
	Retry(q Query) (int, error)
	Drop(q Query) (int, error)
	// End settles records that match with an outcome and forgets them: waiting
	// ones, or dead letters when q.Dead is set, whose outcome was counted when
	// they were buried. It returns how many records it touched.
	End(q Query, f schemas.Final) (int, error)
	// Close flushes acknowledgements and releases the lock. Claims still out
	// are given again after the next start.
	Close() error
}

// Claim is one record leased to one worker for one destination. Exactly one
// of Settle, Release, Bury ends it.
type Claim interface {
	// Meta describes the record.
	Meta() *schemas.Meta
	// Envelope reads the record; payloads above the inline limit stay in files.
	// The envelope is the caller's own until the claim ends.
	Envelope() (*schemas.Envelope, error)
	// Attempts is how often the record was released for this destination
	// before, as far as memory goes (it starts again after a restart).
	Attempts() int
	// Settle ends the record for this destination, one Final per item.
	Settle(finals []schemas.Final) error
	// Release puts it back, due again at the given time, not before.
	Release(due time.Time, reason string)
	// Bury moves it to this destination's dead letters, durably.
	Bury(reason string) error
}

// Spill is a payload on its way to disk. It is a schemas.Body after Finish.
type Spill interface {
	io.Writer
	schemas.Body
	// Finish ends writing. The bytes are made durable by Append.
	Finish() error
	// Discard removes the file; after Append took it, it does nothing.
	Discard()
}

// Observer is told of everything that changes the ledger. Calls come from the
// spool's own goroutines and must not block.
type Observer interface {
	// Recovered: a record found at the start, not yet settled.
	Recovered(m *schemas.Meta)
	// Appended: a record became durable.
	Appended(m *schemas.Meta)
	// Settled: the last destination is done; finals holds the worst outcome of each item.
	Settled(m *schemas.Meta, finals []schemas.Final)
	// Requeued: a dead letter went back to a queue of a record already settled.
	Requeued(m *schemas.Meta)
}

// Nobody is an observer that minds nothing.
type Nobody struct{}

var _ Observer = Nobody{}

// Recovered is part of Observer.
func (Nobody) Recovered(*schemas.Meta) {}

// Appended is part of Observer.
func (Nobody) Appended(*schemas.Meta) {}

// Settled is part of Observer.
func (Nobody) Settled(*schemas.Meta, []schemas.Final) {}

// Requeued is part of Observer.
func (Nobody) Requeued(*schemas.Meta) {}

// Stats is the state of a spool at one moment.
type Stats struct {
	Capacity int64   `json:"capacity_bytes"` // max_size
	Used     int64   `json:"used_bytes"`     // on disk, all of it
	Free     int64   `json:"free_bytes"`     // of the file system
	Records  int64   `json:"records"`
	Damaged  int64   `json:"damaged_records"` // set aside since the first start
	Queues   []Queue `json:"queues"`
	// MinFree is what has to stay free on the file system.
	MinFree int64 `json:"min_free_bytes"`
	// Growth is how fast Used changes, in bytes per second over up to the last
	// quarter of an hour; negative while the spool drains, 0 when not known.
	Growth float64 `json:"growth_bytes_per_second"`
	// Projects is what each project holds of what it may.
	Projects []ProjectUse `json:"projects"`
}

// ProjectUse is the room of one project.
type ProjectUse struct {
	Project string `json:"project"`
	// Bytes are those of its records, each once, and of what is being received
	// for it and lies on the disk already.
	Bytes int64 `json:"bytes"`
	Limit int64 `json:"limit_bytes"`
}

// Full is how long it takes until there is no room left at the present
// growth; ok is false when the spool does not grow. 0 says that it is full.
func (s *Stats) Full() (left time.Duration, ok bool) {
	room := max(min(s.Capacity-s.Used, s.Free-s.MinFree), 0)
	if room == 0 {
		return 0, true
	}
	if s.Growth <= 0 {
		return 0, false
	}
	const longest = 10 * 365 * 24 * time.Hour // a Duration overflows at 292 years
	seconds := float64(room) / s.Growth
	if seconds >= longest.Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// Queue is the state of one destination.
type Queue struct {
	Destination
	Records  int64     `json:"records"`
	Items    int64     `json:"items"`
	Bytes    int64     `json:"bytes"`
	InFlight int64     `json:"in_flight"`
	Oldest   time.Time `json:"oldest"` // ReceivedAt of the oldest; zero when empty
	Dead     int64     `json:"dead_letters"`
	DeadSize int64     `json:"dead_letter_bytes"`
}

// Query selects records. Empty fields match everything.
type Query struct {
	Project     string
	Destination string
	IDs         []string
	EventID     string
	Dead        bool // dead letters instead of pending records
	After       string
	Limit       int
}

// Entry is one record in a listing.
type Entry struct {
	Meta        schemas.Meta `json:"meta"`
	Destination Destination  `json:"destination"`
	Size        int64        `json:"size_bytes"`
	Dead        bool         `json:"dead"`
	Reason      string       `json:"reason,omitempty"` // of the last release or burial
	Attempts    int          `json:"attempts"`         // releases and the burial, since the start
	Due         time.Time    `json:"due"`
	InFlight    bool         `json:"in_flight"`
}

// ErrClosed says that the spool was closed.
var ErrClosed = errors.New("spool is closed")

// ErrNotFound says that no record has that id.
var ErrNotFound = errors.New("no such record")

// ErrLocked says that another process holds the data directory.
var ErrLocked = errors.New("spool directory is in use by another process")

// FullError refuses a record for want of room. The door answers 503 with
// Retry-After; nothing was stored.
type FullError struct {
	// Why is the closed word for metrics: max_size, min_free, project_share, disk.
	Why   string
	After time.Duration
	Err   error
}

func (e *FullError) Error() string {
	msg := "spool is full (" + e.Why + ")"
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *FullError) Unwrap() error { return e.Err }

// Reason is the metrics' word.
func (e *FullError) Reason() string { return "spool_" + e.Why }

// RetryAfter is when a client should try again.
func (e *FullError) RetryAfter() time.Duration { return e.After }
