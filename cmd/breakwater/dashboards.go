package main

import (
	"breakwater/cmd/breakwater/console"
	"breakwater/cmd/breakwater/monitoring"
)

// helpPages are the runbooks of the alerts.
func helpPages() (pages []console.HelpPage) {
	for _, r := range monitoring.Runbooks() {
		pages = append(pages, console.HelpPage{Name: r.Name, Title: r.Title, Severity: r.Severity, HTML: r.HTML})
	}
	return pages
}
