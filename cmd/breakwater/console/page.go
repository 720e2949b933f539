package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

//go:embed static
var static embed.FS

//go:embed templates
var templates embed.FS

// view is what the layout shows around a page's data.
type view struct {
	Title string
	// Bare pages have no navigation: signing in.
	Bare bool
	// Headed pages bring a heading of their own.
	Headed bool
	Data   any

	Page, Version, Project, Live string
	Path                         string
	Mark                         string
	SignedIn                     bool
	Nav                          []nav
	Projects                     []string
	Done                         *Entry
	Now                          time.Time
}

type nav struct {
	Page, Href, Name string
}

var navigation = []nav{
	{"overview", "/", "Overview"},
	{"destinations", "/destinations", "Destinations"},
	{"spool", "/spool", "Spool"},
	{"dead-letters", "/dead-letters", "Dead letters"},
	{"errors", "/errors", "Errors"},
	{"releases", "/releases", "Releases"},
	{"vitals", "/vitals", "Vitals"},
	{"ledger", "/ledger", "Ledger"},
	{"limits", "/limits", "Limits"},
	{"config", "/config", "Configuration"},
	{"audit", "/audit", "Audit"},
	{"help", "/help", "Help"},
}

// texts are what a stranger wrote, made harmless; long ones are cut here.
var funcs = template.FuncMap{
	"x":       func(s string) string { return Visible(s, 300) },
	"short":   func(s string, n int) string { return Visible(s, n) },
	"lines":   func(s string) string { return visible(s, previewSize+1024, true) },
	"number":  number,
	"plural":  plural,
	"size":    size,
	"span":    span,
	"seconds": seconds,
	"percent": percent,
	"value":   vitalValue,
	"chart":   chart,
	"flow":    flow,
	"query":   query,
	"last":    lastWords,
	"passed":  func(t, now time.Time) string { return span(now.Sub(t)) },
	"left":    func(t, now time.Time) string { return span(t.Sub(now)) },
	"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"after":   func(a, b time.Time) bool { return a.After(b) },
	"join":    strings.Join,
	"deref":   func(f *float64) float64 { return *f },
	"mul":     func(a, b float64) float64 { return a * b },
	"part": func(a, b int64) float64 {
		if b <= 0 {
			return 0
		}
		return float64(a) / float64(b)
	},
	"in": func(v view, data any) map[string]any { return map[string]any{"V": v, "D": data} },
}

func query(s string) string { return url.QueryEscape(s) }

// sheets are read when the first page is asked for: they are a third of all objects
// of a gateway that has just begun, which its garbage collector would look at again
// and again for nobody.
var sheets = sync.OnceValue(parse)

// parse reads the templates: the layout and the parts shared by all, then each
// page with them. A mistake is found by the first test, not at 3 a.m.
func parse() map[string]*template.Template {
	base := template.Must(template.New("layout.html").Funcs(funcs).ParseFS(templates, "templates/layout.html", "templates/parts.html"))
	list, err := templates.ReadDir("templates")
	if err != nil {
		panic(err) // embedded
	}
	out := map[string]*template.Template{}
	for _, f := range list {
		name := strings.TrimSuffix(f.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		t := template.Must(base.Clone())
		out[name] = template.Must(t.ParseFS(templates, "templates/"+f.Name()))
	}
	return out
}

// render answers with a page. It is written into memory first: half a page
// with status 200 helps nobody.
func (s *server) render(c echo.Context, status int, name string, v view) error {
	v.Nav, v.Version, v.Path, v.Now = navigation, s.o.Version, c.Request().URL.RequestURI(), s.o.Now()
	v.Mark = s.sessions.mark(word(c, keySession))
	v.SignedIn = word(c, keySession) != ""
	if !v.Bare {
		if e, ok := s.audit.find(c.QueryParam("done")); ok {
			v.Done = &e
		}
	}
	var b bytes.Buffer
	if err := sheets()[name].ExecuteTemplate(&b, "layout.html", v); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	return c.HTMLBlob(status, b.Bytes())
}

// page answers 200 with a page of the navigation.
func (s *server) page(c echo.Context, name string, v view) error {
	if v.Page == "" {
		v.Page = name
	}
	return s.render(c, http.StatusOK, name, v)
}

// fault is an error as a page.
func (s *server) fault(c echo.Context, status int, what, detail string) error {
	return s.render(c, status, "fault", view{Title: what, Bare: word(c, keyActor) == "", Data: Visible(detail, 500)})
}

// withDone leads back to a page, which says what was done.
func withDone(back, id string) string {
	u, err := url.Parse(back)
	if err != nil {
		return "/"
	}
	q := u.Query()
	q.Set("done", id)
	u.RawQuery = q.Encode()
	return u.String()
}
