package beacon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// ops are the span ops under which Sentry's SDKs send LCP, CLS and INP as
// standalone spans, and the like for FCP and TTFB, which they send with the page
// load.
var ops = map[string]string{
	"LCP": "ui.webvital.lcp", "CLS": "ui.webvital.cls", "INP": "ui.interaction.click", "FCP": "ui.webvital.fcp", "TTFB": "ui.webvital.ttfb",
}

// standalone is a Sentry span of the first version, sent on its own.
type standalone struct {
	SpanID        string                 `json:"span_id"`
	TraceID       string                 `json:"trace_id"`
	Op            string                 `json:"op"`
	Origin        string                 `json:"origin"`
	Description   string                 `json:"description"`
	Start         float64                `json:"start_timestamp"`
	Timestamp     float64                `json:"timestamp"`
	ExclusiveTime float64                `json:"exclusive_time"`
	Status        string                 `json:"status"`
	Measurements  map[string]measurement `json:"measurements"`
	Data          map[string]string      `json:"data"`
}

type measurement struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// toSentry adds the web vitals of page loads in a beacon to the batch as
// standalone span items. Sentry has no notion of a vital that is reported again, so pages that
// report every change should not use it. Ids are derived from the vital's own
// id: a repeat has the same span id.
func (p *Protocol) toSentry(batch *ingest.Batch, req *ingest.Request, b *schemas.Beacon) {
	batch.Header = schemas.EmptyHeader()
	batch.Header.SetString("sent_at", req.ReceivedAt.UTC().Format(time.RFC3339Nano))
	for i := range b.Vitals {
		v := &b.Vitals[i]
		name := strings.ToUpper(v.Name)
		op, ok := ops[name]
		if !ok || !believable(v, name) {
			continue
		}
		route := b.Route
		if p.Route != nil {
			route = p.Route(req.Project.Name, b, v)
		}
		payload, err := json.Marshal(span(req, b, v, name, op, route))
		if err != nil {
			continue // not a number JSON can hold
		}
		batch.Items = append(batch.Items, ingest.NewItem(schemas.Item{
			Header: schemas.NewItemHeader("span", "content_type", "application/json"), Payload: schemas.Bytes(payload),
		}))
	}
}

// believable tells whether Sentry gets a value: one that the histograms would
// take, too. Soft navigations are none of the page loads its vitals are about.
func believable(v *schemas.Vital, name string) bool {
	limit := 60_000.0 // ms
	if name == "CLS" {
		limit = 10
	}
	return v.HasValue && v.Value >= 0 && v.Value <= limit && (v.Value > 0 || name != "LCP") && v.NavigationType != "soft-navigation"
}

func span(req *ingest.Request, b *schemas.Beacon, v *schemas.Vital, name, op, route string) standalone {
	seed := v.ID
	if seed == "" {
		seed = fmt.Sprint(req.ID, req.ReceivedAt.UnixNano(), v.Value)
	}
	sum := sha256.Sum256([]byte(req.Project.Name + "\x00" + name + "\x00" + seed))
	s := standalone{
		SpanID: hex.EncodeToString(sum[:8]), TraceID: b.TraceID, Op: op, Origin: "auto.http.browser." + strings.ToLower(name),
		Description: first(route, "<unknown>"), Timestamp: float64(req.ReceivedAt.UnixMicro()) / 1e6, Status: "ok",
		Measurements: map[string]measurement{strings.ToLower(name): {v.Value, "millisecond"}},
		Data: map[string]string{
			"sentry.op": op, "sentry.origin": "auto.http.browser." + strings.ToLower(name),
			"release": first(b.Release, req.Project.Release.Default), "environment": first(b.Environment, req.Project.Release.Environment, "production"),
			"transaction": route, "user_agent.original": req.UserAgent, "browser.navigation.type": v.NavigationType,
		},
	}
	if s.TraceID == "" {
		s.TraceID = hex.EncodeToString(sum[8:24])
	}
	if name == "CLS" {
		s.Measurements["cls"] = measurement{v.Value, ""}
	} else {
		s.ExclusiveTime = v.Value
	}
	s.Start = s.Timestamp - s.ExclusiveTime/1000
	for k, value := range s.Data {
		if value == "" {
			delete(s.Data, k)
		}
	}
	return s
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
