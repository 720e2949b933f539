package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"breakwater/relay/spool"
)

// What a person can do here.
const (
	verbPause  = "pause"
	verbResume = "resume"
	verbRetry  = "retry"
	verbDrop   = "drop"
)

var verbs = []string{verbPause, verbResume, verbRetry, verbDrop}

var errNoDestination = errors.New("no such destination")

// act does one thing and writes it down, also when it failed. err is for the
// person who asked.
func (s *server) act(c echo.Context, verb string, sel selection) (Entry, error) {
	e := Entry{At: s.o.Now().UTC(), Actor: actor(c), Address: peer(c.Request()), Action: verb}
	err := s.perform(verb, sel, &e)
	if err != nil {
		e.Error = Visible(err.Error(), 300)
	}
	s.metrics.actions.WithLabelValues(verb).Inc()
	e.ID = s.audit.add(e)
	s.src.forget()
	return e, err
}

func (s *server) perform(verb string, sel selection, e *Entry) error {
	switch verb {
	case verbPause, verbResume:
		dst := spool.Destination{Project: sel.Project, Name: sel.Destination}
		e.Target = Visible(dst.String(), 200)
		do := s.o.Relay.Pause
		if verb == verbResume {
			do = s.o.Relay.Resume
		}
		if !do(dst) {
			return fmt.Errorf("%s: %w", e.Target, errNoDestination)
		}
		e.Affected = 1
		return nil
	}
	e.Target = sel.words()
	q, err := sel.query()
	if err != nil {
		return err
	}
	do := s.o.Spool.Drop
	if verb == verbRetry {
		do = s.o.Spool.Retry
	}
	e.Affected, err = do(q)
	if err == nil && e.Affected == 0 && sel.either {
		q.Dead = false
		e.Affected, err = do(q)
	}
	return err
}

// confirmation is the page between a button and its deed.
type confirmation struct {
	Verb string
	Sel  selection
	Dst  *Destination
	What string
	// Count is how many records there are at the moment, -1 when not counted.
	Count int64
	Back  string
}

func (s *server) getAct(c echo.Context) error {
	verb := c.Param("verb")
	sel, err := selectionOf(c.QueryParams())
	if err == nil && !slices.Contains(verbs, verb) {
		err = errors.New("no such action")
	}
	conf := confirmation{Verb: verb, Sel: sel, Back: local(c.QueryParam("back")), Count: -1}
	switch {
	case err != nil:
	case verb == verbPause || verb == verbResume:
		for _, d := range s.src.destinations() {
			if d.Project == sel.Project && d.Name == sel.Destination && d.Configured {
				conf.Dst, conf.What = &d, d.ID()
			}
		}
		if conf.Dst == nil {
			err = errNoDestination
		}
	default:
		conf.What = sel.words()
		if _, err = sel.query(); err == nil && len(sel.IDs) == 0 && sel.EventID == "" {
			conf.Count = s.selected(sel)
		}
	}
	if err != nil {
		return s.fault(c, http.StatusBadRequest, "Nothing to do", err.Error())
	}
	return s.page(c, "confirm", view{Title: "Confirm", Data: conf})
}

// selected is how many records a selection by queue touches.
func (s *server) selected(sel selection) (n int64) {
	for _, d := range s.src.destinations() {
		if (sel.Project == "" || sel.Project == d.Project) && (sel.Destination == "" || sel.Destination == d.Name) {
			if sel.Pending {
				n += d.Depth
			} else {
				n += d.Dead
			}
		}
	}
	return n
}

func (s *server) postAct(c echo.Context) error {
	if err := s.checkMark(c); err != nil {
		return err
	}
	form, err := c.FormParams()
	if err != nil {
		return echo.NewHTTPError(http.StatusBadRequest, "the form cannot be read")
	}
	verb := c.Param("verb")
	sel, err := selectionOf(form)
	if err != nil || !slices.Contains(verbs, verb) {
		return s.fault(c, http.StatusBadRequest, "Nothing to do", "No such action.")
	}
	e, err := s.act(c, verb, sel)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, errNoDestination) || errors.Is(err, errNothing) {
			status = http.StatusBadRequest
		}
		return s.fault(c, status, "That did not work", err.Error())
	}
	back := local(form.Get("back"))
	return c.Redirect(http.StatusSeeOther, withDone(back, e.ID))
}

// selectionOf reads a selection from a query or a form.
func selectionOf(v map[string][]string) (selection, error) {
	get := func(name string) string {
		if list := v[name]; len(list) > 0 {
			return list[0]
		}
		return ""
	}
	sel := selection{
		Project: get("project"), Destination: get("destination"), EventID: get("event_id"),
		IDs: v["ids"], All: get("all") == "true", Pending: get("pending") == "true",
	}
	for _, id := range sel.IDs {
		if len(id) > 64 {
			return sel, errors.New("ids: not an id")
		}
	}
	if len(sel.Project)+len(sel.Destination)+len(sel.EventID) > 1000 {
		return sel, errors.New("that is no name")
	}
	return sel, nil
}
