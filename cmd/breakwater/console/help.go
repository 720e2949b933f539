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

func (s *server) helpPage(name string) *HelpPage {
	for i := range s.o.Help {
		if s.o.Help[i].Name == name {
			return &s.o.Help[i]
		}
	}
	return nil
}

func (s *server) getHelp(c echo.Context) error {
	return s.page(c, "help", view{Title: "Help", Data: s.o.Help})
}

func (s *server) getRunbook(c echo.Context) error {
	page := s.helpPage(c.Param("alert"))
	if page == nil {
		return s.fault(c, http.StatusNotFound, "No such runbook", "No alert of ours is named "+c.Param("alert")+".")
	}
	return s.page(c, "runbook", view{Title: page.Name, Data: page})
}
