package console

import (
	"embed"
	"encoding/json"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:embed static
var static embed.FS

var page = template.Must(template.New("start").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Breakwater</title><link rel="stylesheet" href="/static/console.css"></head>
<body><main>
<h1>Breakwater</h1>
<p>The private listener. <a href="/metrics">metrics</a> · <a href="/-/ready">ready</a> · <a href="/api/v1/status">status as JSON</a> · <a href="/debug/pprof/">profiles</a></p>
<pre>{{.}}</pre>
</main></body></html>
`))

// startPage shows the gateway's state to a person.
func startPage(c echo.Context, status any) error {
	text, err := json.MarshalIndent(status, "", "  ")
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Type", "text/html; charset=utf-8")
	c.Response().WriteHeader(http.StatusOK)
	return page.Execute(c.Response(), string(text))
}
