package sentry

import (
	"net/http"

	"breakwater/ingest"
)

// Endpoints are this package's rows of the table of routes. m may be nil.
func Endpoints(m *Metrics) []ingest.Endpoint {
	envelope := &Envelope{Metrics: m}
	return []ingest.Endpoint{
		{Name: "envelope", Paths: []string{"/api/:project/envelope"}, Auth: ingest.AuthEnvelope, Protocol: envelope},
		{Name: "tunnel", Paths: []string{ingest.TunnelPath}, Auth: ingest.AuthTunnel, Protocol: envelope},
		{
			Name: "store", Paths: []string{"/api/:project/store", "/api/store"}, Protocol: &Store{Envelope: envelope},
			Methods: []string{http.MethodPost, http.MethodGet},
		},
	}
}
