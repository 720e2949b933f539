package console

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Canaries are the probes that `breakwater doctor` sends through the public
// listener: it asks for an id here, and then what the gateway saw under it.
type Canaries interface {
	// Issue gives out an id.
	Issue() string
	// Join takes part in one that another gateway gave out; false for what is no id.
	Join(id string) bool
	// View is what is known of an id, as JSON; ok is false for an unknown one.
	View(id string) (view any, ok bool)
	// Passed notes for the dead-man metric that a path works; false for a path
	// that is none.
	Passed(path string) bool
}

// canaryRoutes serves POST /api/v1/canaries, PUT and GET /api/v1/canaries/{id}
// and POST /api/v1/canaries/{id}/passed?path=errors|vitals.
func canaryRoutes(e *echo.Echo, c Canaries) {
	if c == nil {
		return
	}
	e.POST("/api/v1/canaries", func(ec echo.Context) error {
		return ec.JSON(http.StatusCreated, map[string]string{"id": c.Issue()})
	})
	e.PUT("/api/v1/canaries/:id", func(ec echo.Context) error {
		if !c.Join(ec.Param("id")) {
			return echo.NewHTTPError(http.StatusBadRequest, "an id is 32 hexadecimal digits")
		}
		return ec.NoContent(http.StatusNoContent)
	})
	e.GET("/api/v1/canaries/:id", func(ec echo.Context) error {
		v, ok := c.View(ec.Param("id"))
		if !ok {
			return echo.NewHTTPError(http.StatusNotFound, "no such canary, or one from more than 15 minutes ago")
		}
		return ec.JSON(http.StatusOK, v)
	})
	e.POST("/api/v1/canaries/:id/passed", func(ec echo.Context) error {
		if _, ok := c.View(ec.Param("id")); !ok {
			return echo.NewHTTPError(http.StatusNotFound, "no such canary, or one from more than 15 minutes ago")
		}
		if !c.Passed(ec.QueryParam("path")) {
			return echo.NewHTTPError(http.StatusBadRequest, "path is errors or vitals")
		}
		return ec.NoContent(http.StatusNoContent)
	})
}
