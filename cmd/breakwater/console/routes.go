package console

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// pages puts the pages for people in place.
func (s *server) pages(e *echo.Echo) {
	e.StaticFS("/static", echo.MustSubFS(static, "static"))
	e.GET("/signin", s.getSignIn)
	e.POST("/signin", s.postSignIn)
	e.POST("/signout", s.postSignOut)
	e.GET("/", s.livePage("overview", "Overview"))
	for _, p := range navigation {
		if s.isLive(p.Page, "") && p.Href != "/" {
			e.GET(p.Href, s.livePage(p.Page, p.Name))
		}
	}
	e.GET("/errors/:project/:fingerprint", s.getGroup)
	e.GET("/dead-letters", s.getDead)
	e.GET("/records/:id", s.getRecord)
	e.GET("/config", func(c echo.Context) error { return s.page(c, "config", view{Title: "Configuration", Data: s.config()}) })
	e.GET("/audit", s.getAudit)
	for _, path := range []string{"/help", "/help/alerts", "/help/alerts/"} {
		e.GET(path, s.getHelp)
	}
	e.GET("/help/alerts/:alert", s.getRunbook)
	e.GET("/live", s.getLive)
	e.GET("/act/:verb", s.getAct)
	e.POST("/act/:verb", s.postAct)
}

// liveData reads what a live page shows. Project is "" or a configured one.
func (s *server) liveData(page, project, order string) any {
	switch page {
	case "overview":
		return s.overview()
	case "destinations":
		return of(s.src.destinations(), project, func(d Destination) string { return d.Project })
	case "spool":
		return s.src.spool()
	case "errors":
		return groupList{Order: order, Groups: s.src.groups(project, order, 50)}
	case "releases":
		return s.src.releases(project)
	case "vitals":
		return s.src.vitals(project)
	case "ledger":
		return s.src.books(project)
	case "limits":
		return limits{s.limited(), s.quotas(), s.upstreamLimits()}
	}
	return nil
}

// isLive knows the pages that have a live part. errors:new is errors in
// another order.
func (s *server) isLive(page, project string) bool {
	page, order, ordered := strings.Cut(page, ":")
	if ordered && (page != "errors" || !slices.Contains(Orders, order)) {
		return false
	}
	switch page {
	case "overview", "spool", "limits":
		return project == ""
	case "destinations", "errors", "releases", "vitals", "ledger":
		return project == "" || slices.Contains(s.o.State.Projects(), project)
	}
	return false
}

type groupList struct {
	Order  string
	Groups []Group
}

type limits struct {
	Limited   []Limited
	Quotas    []Quota
	Upstreams []UpstreamLimit
}

func (s *server) livePage(name, title string) echo.HandlerFunc {
	return func(c echo.Context) error {
		project := c.QueryParam("project")
		if !s.isLive(name, project) {
			return s.fault(c, http.StatusNotFound, "No such project", "No project is named "+project+".")
		}
		v := view{Title: title, Project: project, Projects: s.o.State.Projects()}
		order, topic := "", name
		if name == "errors" {
			if order = c.QueryParam("order"); !slices.Contains(Orders, order) {
				order = Orders[0]
			}
			topic += ":" + order
		}
		v.Live = "/live?page=" + topic + "&project=" + url.QueryEscape(project)
		v.Data = s.liveData(name, project, order)
		return s.page(c, name, v)
	}
}

// frame renders the live part of a page, as page?project.
func (s *server) frame(topic string) ([]byte, error) {
	page, project, _ := strings.Cut(topic, "?")
	page, order, _ := strings.Cut(page, ":")
	var b bytes.Buffer
	v := view{Page: page, Project: project, Projects: s.o.State.Projects(), Now: s.o.Now(), Data: s.liveData(page, project, order)}
	if err := sheets()[page].ExecuteTemplate(&b, "live", v); err != nil {
		s.o.Logger.Error().Err(err).Str("page", page).Msg("live page could not be made")
		return nil, fmt.Errorf("live page %s: %w", page, err)
	}
	return b.Bytes(), nil
}

// UpstreamLimit is a limit that an upstream announced.
type UpstreamLimit struct {
	Project     string `json:"project"`
	Destination string `json:"destination"`
	Window
}

func (s *server) upstreamLimits() []UpstreamLimit {
	list := []UpstreamLimit{}
	for _, d := range s.src.destinations() {
		for _, w := range d.Limits {
			list = append(list, UpstreamLimit{d.Project, d.Name, w})
		}
	}
	return list
}

func (s *server) limited() []Limited {
	return remember(s.src, "limited", freshQueues, func() []Limited { return of(s.o.State.Limited(), "", nil) })
}

func (s *server) quotas() []Quota {
	return remember(s.src, "quotas", freshQueues, func() []Quota { return of(s.o.State.Quotas(), "", nil) })
}

func (s *server) config() Config {
	return remember(s.src, "config", freshQueues, s.o.State.Config)
}

func (s *server) getGroup(c echo.Context) error {
	g, ok := s.group(c.Param("project"), c.Param("fingerprint"))
	if !ok {
		return s.fault(c, http.StatusNotFound, "No such error group", "It was not seen since the start, or longer than a day ago.")
	}
	return s.page(c, "error", view{Title: "Error", Data: g})
}

// deadPage is a page of dead letters and the filter it is of.
type deadPage struct {
	Page
	Sel   selection
	Total int64
	After string
	Next  string // the address of the page behind it
}

func (s *server) getDead(c echo.Context) error {
	q, err := queryOf(c)
	if err != nil {
		return err
	}
	q.Dead = true
	page, err := s.records(q, true)
	if err != nil {
		return spoolFault(err)
	}
	sel := selection{Project: q.Project, Destination: q.Destination, EventID: q.EventID}
	d := deadPage{Page: page, Sel: sel, Total: s.selected(sel), After: q.After}
	if page.Next != "" {
		v := url.Values{"after": {page.Next}}
		for name, value := range map[string]string{"project": sel.Project, "destination": sel.Destination, "event_id": sel.EventID, "limit": c.QueryParam("limit")} {
			if value != "" {
				v.Set(name, value)
			}
		}
		d.Next = "/dead-letters?" + v.Encode()
	}
	return s.page(c, "dead-letters", view{Title: "Dead letters", Projects: s.o.State.Projects(), Data: d})
}

func (s *server) getRecord(c echo.Context) error {
	d, err := s.detail(c.Param("id"))
	if err != nil {
		return spoolFault(err)
	}
	return s.page(c, "record", view{Title: "Record", Data: d})
}

func (s *server) getAudit(c echo.Context) error {
	list, next := s.audit.newest(c.QueryParam("before"), pageDefault)
	return s.page(c, "audit", view{Title: "Audit", Data: map[string]any{"Entries": list, "Next": next}})
}
