package limit

import (
	"net/netip"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

var t0 = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func request(now time.Time, addr string) *ingest.Request {
	req := &ingest.Request{
		Project:    &ingest.Project{ID: 1, Name: "shop"},
		Key:        &ingest.Key{Public: "0123456789abcdef0123456789abcdef", Name: "web"},
		ReceivedAt: now,
	}
	if addr != "" {
		req.ClientIP = netip.MustParseAddr(addr)
	}
	return req
}

// batch makes items from words: a type, or attachment/<attachment_type>, or
// type*quantity as one letter count for containers.
func batch(now time.Time, types ...string) *ingest.Batch {
	b := &ingest.Batch{Request: request(now, "192.0.2.1"), Header: schemas.EmptyHeader()}
	for _, typ := range types {
		b.Items = append(b.Items, item(typ, 1))
	}
	return b
}

func item(typ string, quantity int) *ingest.Item {
	var h schemas.ItemHeader
	switch typ {
	case "minidump":
		h = schemas.NewItemHeader("attachment", "attachment_type", "event.minidump")
	case "log":
		h = schemas.NewItemHeader("log", "content_type", "application/vnd.sentry.items.log+json")
	default:
		h = schemas.NewItemHeader(typ)
	}
	it := ingest.NewItem(schemas.Item{Header: h, Payload: schemas.Bytes(`{}`)})
	it.Quantity = quantity
	return it
}

func limiter(t testing.TB, opts Options, c Config) *Limiter {
	t.Helper()
	l, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Configure(map[string]Config{"shop": c}); err != nil {
		t.Fatal(err)
	}
	return l
}

func apply(t testing.TB, l *Limiter, b *ingest.Batch) {
	t.Helper()
	if err := l.Apply(b); err != nil {
		t.Fatal(err)
	}
}

// fate writes a batch as "event attachment:rate_limited/category".
func fate(b *ingest.Batch) string {
	s := ""
	for i, it := range b.Items {
		if i > 0 {
			s += " "
		}
		s += it.Header.Type
		if !it.Alive() {
			s += ":" + string(it.Outcome) + "/" + it.Reason
		}
	}
	return s
}

type fixedUpstream []schemas.RateLimit

func (f fixedUpstream) Limits(string, time.Time) []schemas.RateLimit { return f }
