package relaytest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"breakwater/schemas"
)

var samples atomic.Uint64

// SampleRecord is an error with a session beside it, of the project "shop",
// for the destination "up". Each has its own event id.
func SampleRecord() *schemas.Record {
	id := fmt.Sprintf("%032x", samples.Add(1))
	return MustRecord(strings.Join([]string{
		fmt.Sprintf(`{"event_id":%q,"sent_at":"2026-01-02T03:04:05.678Z","sdk":{"name":"sentry.javascript.react","version":"10.1.0"}}`, id),
		`{"type":"event"}`,
		fmt.Sprintf(`{"event_id":%q,"timestamp":1767323045.123,"platform":"javascript","exception":{"values":[{"type":"Error","value":"no"}]}}`, id),
		`{"type":"session"}`,
		`{"sid":"7c7b6585-f901-4351-bf8d-02711b721929","init":true,"started":"2026-01-02T03:04:00Z","status":"ok","attrs":{"release":"shop@1.0.0"}}`,
	}, "\n"))
}

// MustRecord makes a record of an envelope's text, for the destination "up"
// of the project "shop". It panics on text that is no envelope.
func MustRecord(text string) *schemas.Record {
	r := schemas.NewReader(strings.NewReader(text))
	h, err := r.Header()
	if err != nil {
		panic(err)
	}
	rec := &schemas.Record{Envelope: schemas.Envelope{Header: h}}
	rec.Meta = schemas.Meta{
		ID: "01JGZZZZZZZZZZZZZZZZZZZZZZ", ProjectID: 1, Project: "shop", Key: TestKey, EventID: h.EventID(),
		ReceivedAt: time.Now(), ClientIP: "203.0.113.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0",
		Destinations: []string{"up"},
	}
	for {
		ih, payload, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rec
		}
		if err != nil {
			panic(err)
		}
		b, err := io.ReadAll(payload)
		if err != nil {
			panic(err)
		}
		info, _ := schemas.LookupItemType(ih.Type)
		rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{Header: ih, Payload: schemas.Bytes(b)})
		rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: info.Category, Quantity: 1})
	}
}
