package console

import (
	"errors"
	"fmt"
	"slices"

	"breakwater/relay/spool"
)

// How many records one answer holds.
const (
	pageDefault = 50
	pageMost    = 200
)

// records is one page of the spool's records that match, oldest first. The
// cursor is the id of the last record; a record with several destinations is
// never torn apart by it.
func (s *server) records(q spool.Query, titles bool) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = pageDefault
	}
	q.Limit = min(q.Limit, pageMost)
	want := q.Limit
	q.Limit++ // one more tells whether there is another page
	page := Page{Records: []Record{}}
	more, last := false, ""
	err := s.o.Spool.List(q, func(e spool.Entry) bool {
		if len(page.Records) >= want && e.Meta.ID != last {
			more = true
			return false
		}
		last = e.Meta.ID
		page.Records = append(page.Records, recordOf(e))
		return true
	})
	if err != nil {
		return page, err
	}
	if more {
		page.Next = last
	}
	if titles {
		s.entitle(page.Records)
	}
	return page, nil
}

// entitle reads the records of one page for their titles, until it has read
// titleBudget bytes: the rest have none in a list.
func (s *server) entitle(list []Record) {
	budget := int64(titleBudget)
	for i := range list {
		if i > 0 && list[i].ID == list[i-1].ID {
			list[i].Title = list[i-1].Title
			continue
		}
		if budget -= list[i].Size; budget < 0 {
			return
		}
		if rec, err := s.o.Spool.Open(list[i].ID); err == nil {
			list[i].Title = title(rec)
		}
	}
}

func recordOf(e spool.Entry) Record {
	r := Record{
		ID: e.Meta.ID, Project: e.Meta.Project, Destination: e.Destination.Name, State: "waiting", Reason: e.Reason,
		Attempts: e.Attempts, ReceivedAt: e.Meta.ReceivedAt.UTC(), EventID: Visible(e.Meta.EventID, 64),
		Release: Visible(e.Meta.Release, 200), Fingerprint: Visible(e.Meta.Fingerprint, 64), Counts: e.Meta.Counts, Size: e.Size,
	}
	switch {
	case e.Dead:
		r.State = "dead"
	case e.InFlight:
		r.State = "in_flight"
	case !e.Due.IsZero():
		r.State, r.Due = "delayed", e.Due.UTC()
	}
	return r
}

// detail reads one record to look at.
func (s *server) detail(id string) (Detail, error) {
	rec, err := s.o.Spool.Open(id)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Destinations: []Record{}, ItemList: itemsOf(rec)}
	for _, dead := range []bool{true, false} {
		err := s.o.Spool.List(spool.Query{IDs: []string{id}, Dead: dead}, func(e spool.Entry) bool {
			d.Destinations = append(d.Destinations, recordOf(e))
			return true
		})
		if err != nil {
			return d, err
		}
	}
	if len(d.Destinations) == 0 {
		return d, fmt.Errorf("record %s: %w", id, spool.ErrNotFound) // settled meanwhile
	}
	d.Record = d.Destinations[0]
	d.Title = title(rec)
	if rec.Envelope.Header.Object != nil {
		d.Header, _, _ = indent(rec.Envelope.Header.Bytes())
	}
	return d, nil
}

// selection says which records an action touches. Nothing at all selects
// nothing: all must be said.
type selection struct {
	Project     string   `json:"project,omitempty"`
	Destination string   `json:"destination,omitempty"`
	IDs         []string `json:"ids,omitempty"`
	EventID     string   `json:"event_id,omitempty"`
	All         bool     `json:"all,omitempty"`
	Limit       int      `json:"limit,omitempty"`
	// Pending selects waiting records instead of dead letters: drop only.
	Pending bool `json:"pending,omitempty"`
	// either drops a waiting record where no dead letter is.
	either bool
}

var errNothing = errors.New("name a project, a destination, ids or an event_id, or say all")

func (s selection) query() (spool.Query, error) {
	q := spool.Query{Project: s.Project, Destination: s.Destination, IDs: s.IDs, EventID: s.EventID, Limit: max(s.Limit, 0), Dead: !s.Pending}
	if q.Project == "" && q.Destination == "" && len(q.IDs) == 0 && q.EventID == "" && !s.All {
		return q, errNothing
	}
	if len(q.IDs) > pageMost {
		return q, fmt.Errorf("at most %d ids at once", pageMost)
	}
	if slices.Contains(q.IDs, "") {
		return q, errors.New("ids: an empty id")
	}
	return q, nil
}

// words says what is selected, for a person and for the audit history.
func (s selection) words() string {
	what := "dead letters"
	if s.Pending {
		what = "waiting records"
	}
	switch {
	case len(s.IDs) == 1:
		what = "record " + Visible(s.IDs[0], 26)
	case len(s.IDs) > 1:
		what = fmt.Sprintf("%d selected records", len(s.IDs))
	case s.Project == "" && s.Destination == "" && s.EventID == "":
		what = "all " + what
	}
	if s.EventID != "" {
		what += " with event id " + Visible(s.EventID, 64)
	}
	switch {
	case s.Project != "" && s.Destination != "":
		what += " of " + Visible(s.Project, 100) + "/" + Visible(s.Destination, 100)
	case s.Project != "":
		what += " of project " + Visible(s.Project, 100)
	case s.Destination != "":
		what += " of destination " + Visible(s.Destination, 100)
	}
	return what
}
