package main

import (
	"net/http"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest"
	"breakwater/ingest/beacon"
	"breakwater/ingest/crash"
	"breakwater/ingest/faro"
	"breakwater/ingest/minidump"
	"breakwater/ingest/otlp"
	"breakwater/ingest/report"
	"breakwater/ingest/sentry"
)

// endpoints is the product on one screen: what is served where, by which
// protocol, and how success is said.
func (a *app) endpoints(cfg *config.Config) []ingest.Endpoint {
	envelope := &sentry.Envelope{Metrics: a.discards}
	store := &sentry.Store{Envelope: envelope}
	toSentry := map[string]bool{}
	for _, p := range cfg.Projects {
		toSentry[p.Name] = p.Vitals.ToSentry
	}
	vitals := &beacon.Protocol{ToSentry: func(project string) bool { return toSentry[project] }, Route: a.vitals.Route}
	nothing, taken := ingest.Reply{Empty: true}, ingest.Reply{Status: http.StatusAccepted}
	signal := func(name string, p *otlp.Protocol) ingest.Endpoint {
		return ingest.Endpoint{
			Name: "otlp_" + name, Paths: []string{"/api/:project/integration/otlp/v1/" + name, "/api/:project/otlp/v1/" + name, "/otlp/v1/" + name},
			Auth: ingest.AuthAny, Protocol: p, Credentials: true, Refuse: otlp.Refuse, MaxBody: ingest.EventBody,
		}
	}
	return []ingest.Endpoint{
		{Name: "envelope", Paths: []string{"/api/:project/envelope"}, Auth: ingest.AuthEnvelope, Protocol: envelope},
		{Name: "tunnel", Paths: []string{ingest.TunnelPath}, Auth: ingest.AuthTunnel, Protocol: envelope},
		{Name: "store", Methods: []string{http.MethodPost, http.MethodGet}, Paths: []string{"/api/:project/store", "/api/store"}, Auth: ingest.AuthSentry, Protocol: store},
		{
			Name: "vitals", Paths: []string{"/api/:project/vitals"}, Auth: ingest.AuthKey, Protocol: vitals, Credentials: true,
			Reply: ingest.Reply{Status: http.StatusNoContent}, MaxBody: ingest.BeaconBody,
		},
		{
			Name: "security", Paths: []string{"/api/:project/security", "/api/:project/csp-report"}, Protocol: &report.Protocol{Types: report.SecurityTypes},
			Budget: ingest.BudgetReports, Credentials: true, Reply: nothing, MaxBody: ingest.EventBody,
		},
		{
			Name: "nel", Paths: []string{"/api/:project/nel"}, Protocol: &report.Protocol{Types: report.NELTypes},
			Budget: ingest.BudgetReports, Credentials: true, Reply: nothing, MaxBody: ingest.EventBody, Limited: func() ingest.Reply { return nothing },
		},
		{
			Name: "faro", Paths: []string{"/api/:project/faro"}, Auth: ingest.AuthKey, Protocol: &faro.Protocol{Repeats: a.batches}, Credentials: true,
			Reply: taken, MaxBody: ingest.EventBody,
		},
		signal("logs", otlp.Logs()), signal("traces", otlp.Traces()), signal("metrics", otlp.Metrics()),
		{Name: "crash", Paths: []string{"/api/:project/crash"}, Auth: ingest.AuthKey, Protocol: &crash.Protocol{Repeats: a.crashes}, Credentials: true, MaxBody: ingest.EventBody},
		{Name: "minidump", Paths: []string{"/api/:project/minidump"}, Protocol: &minidump.Protocol{}, Upload: true, Limited: minidump.Refused},
		{Name: "unreal", Paths: []string{"/api/:project/unreal/:key"}, Protocol: &minidump.Unreal{}, Upload: true, Limited: minidump.Refused},
		{
			Name: "attachments", Paths: []string{"/api/:project/events/:event/attachments"}, Protocol: &minidump.Attachments{}, Upload: true,
			Reply: ingest.Reply{Status: http.StatusCreated},
		},
		{
			Name: "cron", Paths: []string{"/api/:project/cron/:slug", "/api/:project/cron/:slug/:key"}, Methods: []string{http.MethodPost, http.MethodGet},
			Protocol: &sentry.CheckIn{}, Reply: taken, MaxBody: ingest.EventBody, Limited: func() ingest.Reply { return taken },
		},
	}
}
