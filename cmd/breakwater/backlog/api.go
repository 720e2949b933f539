package backlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Source is the spool that gives records away.
type Source interface {
	List(q spool.Query, fn func(spool.Entry) bool) error
	Open(id string) (*schemas.Record, error)
	End(q spool.Query, f schemas.Final) (int, error)
}

// Exported is the reason of records that another gateway took over; their
// outcome is delivered.
const Exported = "exported"

// Bounds of one answer or request.
const (
	// MaxPage is how many records one answer of an export holds, pageBytes
	// about how many bytes: a record is never torn apart.
	MaxPage   = 500
	pageBytes = 32 << 20
	// MaxFinish is how many records one request ends.
	MaxFinish = 500
	// importTime is how long the body of an import may take.
	importTime = 10 * time.Minute
)

// LastListed is the header of an export's answer with the id of the last record
// that was looked at; without it there was none.
const LastListed = "Breakwater-Last-Listed"

// API is the part of the private API that moves records. Its paths are
//
//	GET  /api/v1/spool/export?project=&destination=&dead=&after=&limit=
//	POST /api/v1/spool/import
//	POST /api/v1/spool/exported
//
// Bodies of the first two are records as in an archive, without its first and
// last line. Nothing here checks who asks: the listener does.
type API struct {
	Source   Source
	Importer *Importer
	Log      zerolog.Logger
}

// Paths are those that Handler serves.
var Paths = []string{"/api/v1/spool/export", "/api/v1/spool/import", "/api/v1/spool/exported"}

// Handler serves the paths.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Paths[0], a.export)
	mux.HandleFunc("POST "+Paths[1], a.take)
	mux.HandleFunc("POST "+Paths[2], a.finish)
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // to a client that may be gone
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	answer(w, status, map[string]string{"detail": fmt.Sprintf(format, args...)})
}

// export writes a page of records, oldest first. A record that several of the
// destinations wait for is one record.
func (a *API) export(w http.ResponseWriter, r *http.Request) {
	get := r.URL.Query().Get
	q := spool.Query{Project: get("project"), Destination: get("destination"), After: get("after"), Dead: get("dead") == "true", Limit: MaxPage}
	if text := get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxPage {
			refuse(w, http.StatusBadRequest, "limit: a number from 1 to %d", MaxPage)
			return
		}
		q.Limit = n
	}
	var heads []Head
	err := a.Source.List(q, func(e spool.Entry) bool {
		if n := len(heads); n > 0 && heads[n-1].Record == e.Meta.ID {
			heads[n-1].Destinations = append(heads[n-1].Destinations, e.Destination.Name)
			return true
		}
		if len(heads) == q.Limit {
			return false
		}
		heads = append(heads, Head{Record: e.Meta.ID, Project: e.Meta.Project, Destinations: []string{e.Destination.Name}, Dead: e.Dead, Reason: e.Reason})
		return true
	})
	if errors.Is(err, spool.ErrNotFound) {
		refuse(w, http.StatusBadRequest, "after: not the id of a record")
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, "listing: %v", err)
		return
	}
	w.Header().Set("Content-Type", "application/x-breakwater-records")
	if n := len(heads); n > 0 { // those that are delivered meanwhile are not in the body
		w.Header().Set(LastListed, heads[n-1].Record)
	}
	b := bufio.NewWriterSize(w, 64<<10)
	var size int64
	for _, h := range heads {
		rec, err := a.Source.Open(h.Record)
		if errors.Is(err, spool.ErrNotFound) {
			continue // delivered meanwhile
		}
		if err == nil {
			err = WriteRecord(b, h, rec)
		}
		if err != nil {
			a.Log.Warn().Err(err).Str("record", h.Record).Msg("export broke off")
			panic(http.ErrAbortHandler) // the client must not take it for the end
		}
		for i := range rec.Envelope.Items {
			size += rec.Envelope.Items[i].Payload.Size()
		}
		if size > pageBytes {
			break
		}
	}
	_ = b.Flush() // the client sees a torn record, and asks again
}

// take imports the records of the body.
func (a *API) take(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(importTime)) // longer than a page's; where that is not known, there is none
	res, err := a.Importer.Import(r.Context(), NewReader(r.Body))
	if res.Imported > 0 {
		a.Log.Info().Int("records", res.Imported).Int("repeated", res.Repeated).Msg("backlog imported")
	}
	var unknown *UnknownError
	var full *spool.FullError
	status := http.StatusOK
	switch {
	case err == nil:
		answer(w, status, res)
		return
	case errors.Is(err, ErrBusy):
		status = http.StatusConflict
	case errors.As(err, &unknown):
		status = http.StatusUnprocessableEntity
	case errors.As(err, &full):
		status = http.StatusInsufficientStorage
	case errors.Is(err, spool.ErrClosed):
		status = http.StatusServiceUnavailable
	default:
		status = http.StatusBadRequest
	}
	answer(w, status, map[string]any{"detail": err.Error(), "imported": res.Imported, "repeated": res.Repeated, "last": res.Last})
}

// Gone names a record that another gateway has.
type Gone struct {
	Record       string   `json:"record"`
	Project      string   `json:"project"`
	Destinations []string `json:"destinations"`
	Dead         bool     `json:"dead"`
}

// Finished is what became of them here.
type Finished struct {
	Ended int `json:"ended"` // records that were still here
	Gone  int `json:"gone"`  // that were not: delivered or dropped meanwhile
}

// finish ends records that another gateway has.
func (a *API) finish(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Records []Gone `json:"records"`
	}
	dec := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil || len(req.Records) > MaxFinish {
		refuse(w, http.StatusBadRequest, `the body is {"records": [{"record", "project", "destinations", "dead"}]}, at most %d of them`, MaxFinish)
		return
	}
	res, err := a.end(req.Records)
	if res.Ended > 0 {
		a.Log.Info().Int("records", res.Ended).Int("gone", res.Gone).Msg("exported backlog ended")
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, "%v", err)
		return
	}
	answer(w, http.StatusOK, res)
}

// group is what one call of the spool can end.
type group struct {
	project, destination string
	dead                 bool
}

func (a *API) end(records []Gone) (res Finished, err error) {
	groups := map[group][]string{}
	for _, g := range records {
		if g.Record == "" || g.Project == "" || len(g.Destinations) == 0 {
			return res, errors.New("a record lacks its id, project or destinations")
		}
		for _, d := range g.Destinations {
			k := group{g.Project, d, g.Dead}
			groups[k] = append(groups[k], g.Record)
		}
	}
	here := map[string]bool{}
	for k, ids := range groups {
		q := spool.Query{Project: k.project, Destination: k.destination, IDs: ids, Dead: k.dead}
		err := a.Source.List(q, func(e spool.Entry) bool { here[e.Meta.ID] = true; return true })
		if err != nil {
			return res, err
		}
		if _, err := a.Source.End(q, schemas.Final{Outcome: schemas.Delivered, Reason: Exported}); err != nil {
			return res, fmt.Errorf("ending records of %s/%s: %w", k.project, k.destination, err)
		}
	}
	ids := make([]string, 0, len(records))
	for _, g := range records {
		ids = append(ids, g.Record)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if here[id] {
			res.Ended++
		} else {
			res.Gone++
		}
	}
	return res, nil
}
