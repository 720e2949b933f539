package console

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"breakwater/relay/spool"
)

//go:embed openapi.json
var openAPI []byte

// api puts the JSON API in place; openapi.json describes it.
func (s *server) api(e *echo.Echo) {
	v1 := e.Group("/api/v1")
	v1.GET("/openapi.json", func(c echo.Context) error {
		return c.Blob(http.StatusOK, "application/vnd.oai.openapi+json;version=3.1", openAPI)
	})
	v1.GET("/status", func(c echo.Context) error { return c.JSON(http.StatusOK, s.o.Status()) })
	v1.GET("/spool", func(c echo.Context) error { return c.JSON(http.StatusOK, s.src.spool()) })
	v1.GET("/spool/records", s.apiRecords)
	v1.POST("/spool/records/drop", s.apiSelect(verbDrop, true))
	v1.GET("/spool/records/:id", s.apiRecord)
	v1.GET("/spool/records/:id/raw", s.apiRaw)
	v1.POST("/spool/records/:id/retry", s.apiOne(verbRetry))
	v1.POST("/spool/records/:id/drop", s.apiOne(verbDrop))
	v1.GET("/dead-letters", s.apiDead)
	v1.POST("/dead-letters/retry", s.apiSelect(verbRetry, false))
	v1.POST("/dead-letters/drop", s.apiSelect(verbDrop, false))
	v1.GET("/destinations", func(c echo.Context) error {
		list := of(s.src.destinations(), c.QueryParam("project"), func(d Destination) string { return d.Project })
		return c.JSON(http.StatusOK, map[string]any{"destinations": list})
	})
	v1.POST("/destinations/:project/:name/pause", s.apiDestination(verbPause))
	v1.POST("/destinations/:project/:name/resume", s.apiDestination(verbResume))
	v1.GET("/fingerprints", s.apiGroups)
	v1.GET("/fingerprints/:project/:fingerprint", s.apiGroup)
	v1.GET("/releases", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]any{"releases": s.src.releases(c.QueryParam("project"))})
	})
	v1.GET("/vitals", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]any{"vitals": s.src.vitals(c.QueryParam("project"))})
	})
	v1.GET("/outcomes", func(c echo.Context) error { return c.JSON(http.StatusOK, s.src.books(c.QueryParam("project"))) })
	v1.GET("/limits", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]any{"limited": s.limited(), "quotas": s.quotas(), "upstreams": s.upstreamLimits()})
	})
	v1.GET("/config", func(c echo.Context) error { return c.JSON(http.StatusOK, s.config()) })
	v1.GET("/audit", s.apiAudit)
	v1.GET("/tail", s.getTail)
	for path, h := range s.o.API {
		e.Any(path, echo.WrapHandler(h))
	}
}

func bad(format string, args ...any) error {
	return echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

// limitOf reads the parameter limit.
func limitOf(c echo.Context, most int) (int, error) {
	text := c.QueryParam("limit")
	if text == "" {
		return min(pageDefault, most), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, bad("limit: a number from 1 to %d", most)
	}
	return n, nil
}

// queryOf reads the parameters of a listing.
func queryOf(c echo.Context) (q spool.Query, err error) {
	q = spool.Query{
		Project: c.QueryParam("project"), Destination: c.QueryParam("destination"), EventID: c.QueryParam("event_id"), After: c.QueryParam("after"),
	}
	if q.Limit, err = limitOf(c, pageMost); err != nil {
		return q, err
	}
	switch dead := c.QueryParam("dead"); dead {
	case "", "false":
	case "true":
		q.Dead = true
	default:
		return q, bad("dead: true or false")
	}
	return q, nil
}

func (s *server) apiRecords(c echo.Context) error {
	q, err := queryOf(c)
	if err != nil {
		return err
	}
	return s.apiList(c, q)
}

func (s *server) apiDead(c echo.Context) error {
	q, err := queryOf(c)
	if err != nil {
		return err
	}
	q.Dead = true
	return s.apiList(c, q)
}

func (s *server) apiList(c echo.Context, q spool.Query) error {
	page, err := s.records(q, true)
	if err != nil {
		return spoolFault(err)
	}
	return c.JSON(http.StatusOK, page)
}

// spoolFault says an error of the spool in HTTP.
func spoolFault(err error) error {
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return echo.NewHTTPError(http.StatusNotFound, Visible(err.Error(), 200))
	case errors.Is(err, spool.ErrClosed):
		return echo.NewHTTPError(http.StatusServiceUnavailable, err.Error())
	}
	return err
}

func (s *server) apiRecord(c echo.Context) error {
	d, err := s.detail(c.Param("id"))
	if err != nil {
		return spoolFault(err)
	}
	return c.JSON(http.StatusOK, d)
}

// apiRaw is the stored envelope byte for byte, attachments included: what
// goes to the upstream. It is a download, and never shown in a page.
func (s *server) apiRaw(c echo.Context) error {
	rec, err := s.o.Spool.Open(c.Param("id"))
	if err != nil {
		return spoolFault(err)
	}
	h := c.Response().Header()
	h.Set("Content-Type", "application/x-sentry-envelope")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": rec.Meta.ID + ".envelope"}))
	c.Response().WriteHeader(http.StatusOK)
	_, err = rec.Envelope.WriteTo(c.Response())
	if err != nil {
		s.o.Logger.Warn().Err(err).Str("record", rec.Meta.ID).Msg("download of a record broke off")
	}
	return nil
}

// done is the answer to an action.
func done(c echo.Context, e Entry, err error) error {
	switch {
	case errors.Is(err, errNoDestination):
		return echo.NewHTTPError(http.StatusNotFound, err.Error())
	case errors.Is(err, errNothing):
		return bad("%s", err.Error())
	case err != nil:
		return spoolFault(err)
	}
	return c.JSON(http.StatusOK, map[string]any{"action": e.Action, "target": e.Target, "affected": e.Affected, "audit": e.ID})
}

// apiOne acts on one record: at all its destinations, or at ?destination=.
// Drop takes it dead or waiting, whichever it is.
func (s *server) apiOne(verb string) echo.HandlerFunc {
	return func(c echo.Context) error {
		sel := selection{IDs: []string{c.Param("id")}, Destination: c.QueryParam("destination"), either: verb == verbDrop}
		e, err := s.act(c, verb, sel)
		if err == nil && e.Affected == 0 {
			return echo.NewHTTPError(http.StatusNotFound, "no such record in that state")
		}
		return done(c, e, err)
	}
}

// apiSelect acts on what the body selects.
func (s *server) apiSelect(verb string, pending bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		var sel selection
		dec := json.NewDecoder(io.LimitReader(c.Request().Body, 64<<10))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&sel); err != nil {
			return bad("the body selects records: {\"project\", \"destination\", \"ids\", \"event_id\", \"all\", \"limit\"}: %v", err)
		}
		if sel.Pending {
			return bad("pending: the path says which records are meant")
		}
		sel.Pending = pending
		if _, err := sel.query(); err != nil {
			return bad("%s", err.Error())
		}
		e, err := s.act(c, verb, sel)
		return done(c, e, err)
	}
}

func (s *server) apiDestination(verb string) echo.HandlerFunc {
	return func(c echo.Context) error {
		e, err := s.act(c, verb, selection{Project: c.Param("project"), Destination: c.Param("name")})
		return done(c, e, err)
	}
}

func (s *server) apiGroups(c echo.Context) error {
	n, err := limitOf(c, maxGroups)
	if err != nil {
		return err
	}
	order := c.QueryParam("order")
	if order != "" && !slices.Contains(Orders, order) {
		return bad("order: one of %v", Orders)
	}
	return c.JSON(http.StatusOK, map[string]any{"fingerprints": s.src.groups(c.QueryParam("project"), order, n)})
}

func (s *server) apiGroup(c echo.Context) error {
	g, ok := s.group(c.Param("project"), c.Param("fingerprint"))
	if !ok {
		return echo.NewHTTPError(http.StatusNotFound, "no such error group: it was not seen since the start, or longer than a day ago")
	}
	return c.JSON(http.StatusOK, g)
}

func (s *server) group(project, fingerprint string) (Group, bool) {
	g, ok := s.o.State.Group(project, fingerprint)
	if ok {
		g.Sample = s.o.State.Sample(project, fingerprint)
	}
	return g, ok
}

func (s *server) apiAudit(c echo.Context) error {
	n, err := limitOf(c, pageMost)
	if err != nil {
		return err
	}
	list, next := s.audit.newest(c.QueryParam("before"), n)
	answer := map[string]any{"entries": list}
	if next != "" {
		answer["next"] = next
	}
	return c.JSON(http.StatusOK, answer)
}
