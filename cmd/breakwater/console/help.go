package console

import (
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"
)

// HelpPage is what to do about one alert; the links of alerts lead to
// /help/alerts/<Name>.
type HelpPage struct {
	Name, Title, Severity string
	// HTML is the page's body, made of embedded text.
	HTML template.HTML
}

var helpPage = template.Must(template.New("help").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{if .Page}}{{.Page.Name}}{{else}}Alerts{{end}} - Breakwater</title><link rel="stylesheet" href="/static/console.css"></head>
<body><main>
<p><a href="/">Breakwater</a>{{if .Page}} · <a href="/help/alerts/">alerts</a> · {{.Page.Severity}}{{end}}</p>
{{if .Page}}{{.Page.HTML}}{{else}}<h1>Alerts</h1>
<p>Commands name this listener and Prometheus by their usual addresses on this machine. Where the private listener wants a token, add <code>-H "Authorization: Bearer …"</code>.</p>
<ul>{{range .All}}<li><a href="/help/alerts/{{.Name}}">{{.Name}}</a> ({{.Severity}}): {{.Title}}</li>{{end}}</ul>{{end}}
</main></body></html>
`))

// help serves the runbooks.
func help(e *echo.Echo, pages []HelpPage) {
	show := func(c echo.Context, page *HelpPage) error {
		c.Response().Header().Set("Content-Type", "text/html; charset=utf-8")
		c.Response().WriteHeader(http.StatusOK)
		return helpPage.Execute(c.Response(), map[string]any{"Page": page, "All": pages})
	}
	index := func(c echo.Context) error { return show(c, nil) }
	e.GET("/help/alerts", index)
	e.GET("/help/alerts/", index)
	e.GET("/help/alerts/:name", func(c echo.Context) error {
		for i := range pages {
			if pages[i].Name == c.Param("name") {
				return show(c, &pages[i])
			}
		}
		return echo.NewHTTPError(http.StatusNotFound, "no alert has this name: see /help/alerts/")
	})
}
