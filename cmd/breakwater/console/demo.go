package console

import (
	"encoding/json"
	"errors"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// Demo is the demonstration page, which webdemo/web builds. The gateway works
// without it.
type Demo struct {
	// Folders are tried in order, at every request; the first that holds an
	// index.html is served.
	Folders []string
	// Projects are those a page may send to.
	Projects func() []DemoProject
	// Public is where the public listener listens, and whether with TLS.
	Public func() (addr net.Addr, tls bool)
	// Explain scrubs a JSON payload of an item type by a project's rules.
	Explain func(project, itemType string, payload []byte) ([]byte, []Scrubbed, error)
}

// DemoProject is a project and one of its public keys.
type DemoProject struct {
	ID   uint64 `json:"id,string"`
	Name string `json:"name"`
	Key  string `json:"key"`
	// DSN is set in the answer.
	DSN string `json:"dsn"`
}

// Scrubbed is one place that scrubbing changed.
type Scrubbed struct {
	Path string `json:"path"`
	Rule string `json:"rule"`
}

// Where the build lies beside the program and in a checkout.
const (
	demoInCheckout = "webdemo/web/dist"
	demoBeside     = "demo"
)

// DemoFolders are the folders to look for a build of the page: in the checkout
// that the working directory or the program's folder is in, and beside the program.
func DemoFolders() []string {
	list := []string{demoInCheckout}
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		list = append(list, filepath.Join(dir, demoBeside), filepath.Join(dir, "..", demoInCheckout))
	}
	return list
}

// demo adds the page's routes. It may do what other pages may not: talk to the
// public listener, frame itself, compress a replay in a worker, and break its
// own rule on purpose, which the browser reports to the public listener.
func (s *server) demo(e *echo.Echo) {
	if s.o.Demo == nil {
		return
	}
	e.GET("/demo", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/demo/") })
	e.GET("/demo/config.json", s.demoConfig)
	e.POST("/demo/scrub", s.demoScrub)
	e.GET("/demo/*", s.demoFile)
}

// demoProjects are the projects with their DSNs, as a browser at this request's
// address reaches the public listener.
func (s *server) demoProjects(r *http.Request) (public string, list []DemoProject) {
	addr, tls := s.o.Demo.Public()
	scheme := "http"
	if tls {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && (ip == nil || ip.IsUnspecified()) {
		if host, _, err = net.SplitHostPort(r.Host); err != nil {
			host = r.Host
		}
	}
	host = net.JoinHostPort(strings.Trim(host, "[]"), port)
	list = s.o.Demo.Projects()
	for i := range list {
		list[i].DSN = scheme + "://" + list[i].Key + "@" + host + "/" + strconv.FormatUint(list[i].ID, 10)
	}
	return scheme + "://" + host, list
}

func (s *server) demoConfig(c echo.Context) error {
	public, projects := s.demoProjects(c.Request())
	return c.JSON(http.StatusOK, map[string]any{"version": s.o.Version, "public": public, "projects": projects})
}

// demoScrub shows what scrubbing makes of a payload that the page sent: nothing
// is stored or sent on.
func (s *server) demoScrub(c echo.Context) error {
	var in struct {
		Project string          `json:"project"`
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.NewDecoder(c.Request().Body).Decode(&in); err != nil || len(in.Payload) == 0 {
		return bad(`send {"project", "type", "payload"}`)
	}
	out, hits, err := s.o.Demo.Explain(in.Project, in.Type, in.Payload)
	if err != nil {
		return bad("%s", err.Error())
	}
	if hits == nil {
		hits = []Scrubbed{}
	}
	return c.JSON(http.StatusOK, map[string]any{"payload": json.RawMessage(out), "hits": hits})
}

// demoFile serves a file of the build; a path without an extension is the
// page, which has addresses of its own.
func (s *server) demoFile(c echo.Context) error {
	root, err := demoRoot(s.o.Demo.Folders)
	if err != nil {
		return echo.NewHTTPError(http.StatusNotFound, "the demonstration page is not built: `make demo-build` does it")
	}
	defer root.Close() //nolint:errcheck // it was only read
	name := strings.TrimPrefix(path.Clean("/"+strings.TrimPrefix(c.Request().URL.Path, "/demo")), "/")
	if path.Ext(name) == "" {
		name = "index.html"
	}
	body, err := fs.ReadFile(root.FS(), name)
	if err != nil {
		return echo.NewHTTPError(http.StatusNotFound, "no such file in the demonstration page")
	}
	public, projects := s.demoProjects(c.Request())
	policy := []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:", "font-src 'self'", "connect-src 'self' " + public,
		"worker-src 'self' blob:", "frame-src 'self'", "frame-ancestors 'self'", "base-uri 'none'", "form-action 'none'",
	}
	if len(projects) > 0 {
		policy = append(policy, "report-uri "+public+"/api/"+strconv.FormatUint(projects[0].ID, 10)+"/security/?sentry_key="+projects[0].Key+"&sentry_environment=demo")
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", strings.Join(policy, "; "))
	h.Set("X-Frame-Options", "SAMEORIGIN")
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	return c.Blob(http.StatusOK, kind, body)
}

// demoRoot opens the folder with the build. Nothing outside of it can be read,
// whatever a path or a link says.
func demoRoot(folders []string) (*os.Root, error) {
	for _, dir := range folders {
		root, err := os.OpenRoot(dir)
		if err != nil {
			continue
		}
		if _, err := root.Stat("index.html"); err == nil {
			return root, nil
		}
		_ = root.Close()
	}
	return nil, errors.New("no build")
}
