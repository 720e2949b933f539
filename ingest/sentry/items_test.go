package sentry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// itemRow is one item type of the protocol (§2.4): what it counts as, what an
// envelope may hold of it, and what it goes with.
type itemRow struct {
	typ      string
	attrs    []string // of the header: name, value, …
	category schemas.Category
	// dependent: goes with the envelope's event.
	dependent bool
	// each is the most bytes of one, 0 for no bound of its own.
	each int64
	// count is how many an envelope may hold, 0 for any number.
	count int
}

// Bounds that are settings stand here with the values of the test: events
// 1 MiB, attachments 4 MiB each and together, 30 of them, 100 sessions.
var itemRows = []itemRow{
	{"event", nil, "error", true, mib, 1},
	{"transaction", nil, "transaction", true, mib, 1},
	{"security", nil, "security", true, mib, 1},
	{"raw_security", nil, "security", true, mib, 1},
	{"feedback", nil, "feedback", true, mib, 1},
	{"form_data", nil, "unknown", true, mib, 0},
	{"replay_event", nil, "replay", true, mib, 0},
	{"attachment", nil, "attachment", true, 4 * mib, 30},
	{"attachment", []string{"attachment_type", "event.view_hierarchy"}, "attachment", true, 4 * mib, 30},
	{"attachment", []string{"attachment_type", "event.minidump"}, "error", true, 4 * mib, 30},
	{"attachment", []string{"attachment_type", "event.applecrashreport"}, "error", true, 4 * mib, 30},
	{"attachment", []string{"attachment_type", "event.payload"}, "error", true, 4 * mib, 30},
	{"attachment", []string{"attachment_type", "event.breadcrumbs"}, "error", true, 4 * mib, 30},
	{"attachment", []string{"attachment_type", "playstation.prosperodump"}, "error", true, 4 * mib, 30},
	{"user_report", nil, "feedback", true, mib, 30},
	{"unreal_report", nil, "error", true, 4 * mib, 30},
	{"profile", nil, "profile", true, 50 * mib, 1},
	{"profile_chunk", nil, "profile_chunk", false, 50 * mib, 1},
	{"profile_chunk", []string{"platform", "javascript"}, "profile_chunk", false, 50 * mib, 1},
	{"session", nil, "session", false, 10 * mib, 100},
	{"sessions", nil, "session", false, 10 * mib, 100},
	{"client_report", nil, "internal", false, 100 * kib, 100},
	{"replay_recording", nil, "replay", false, 10 * mib, 0},
	{"replay_video", nil, "replay", false, 10 * mib, 0},
	{"check_in", nil, "monitor", false, 100 * kib, 1},
	{"statsd", nil, "metric_bucket", false, mib, 0},
	{"metric_meta", nil, "metric_bucket", false, mib, 0},
	{"metric_buckets", nil, "metric_bucket", false, mib, 0},
	{"span", nil, "span", true, 10 * mib, 25}, // counted as nested in the event
	{"span", []string{"content_type", "application/vnd.sentry.items.span.v2+json"}, "span", false, 10 * mib, 1},
	{"log", []string{"content_type", "application/vnd.sentry.items.log+json"}, "log_item", false, 2 * mib, 1},
	{"otel_log", nil, "log_item", false, 2 * mib, 0},
	{"trace_metric", []string{"content_type", "application/vnd.sentry.items.trace-metric+json"}, "trace_metric", false, mib, 1},
	{"nel", nil, "security", false, mib, 0}, // Sentry counts it as nothing: see schemas
	{"hologram", nil, "unknown", false, 4 * mib, 0},
}

func (r *itemRow) container() bool {
	return schemas.NewItemHeader(r.typ, r.attrs...).IsContainer()
}

// header is the item's header line.
func (r *itemRow) header(length int64) string {
	h := schemas.NewItemHeader(r.typ, r.attrs...)
	if r.container() {
		h.SetItemCount(1)
	}
	return strings.TrimSuffix(string(h.Bytes()), "}") + fmt.Sprintf(`,"length":%d}`, length)
}

// payload is a payload of n bytes that is good for the type, at least 30.
func (r *itemRow) payload(n int64) io.Reader {
	head, tail := `{"a":"`, `"}`
	if r.container() {
		head, tail = `{"items":[{"a":"`, `"}]}`
	}
	return io.MultiReader(strings.NewReader(head), io.LimitReader(xs{}, n-int64(len(head)+len(tail))), strings.NewReader(tail))
}

// xs never ends.
type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func (r *itemRow) name() string { return strings.Join(append([]string{r.typ}, r.attrs...), " ") }

// envelope decodes an envelope of items, each a row and a size.
func envelopeOf(t *testing.T, items ...any) *ingest.Batch {
	t.Helper()
	parts := []io.Reader{strings.NewReader("{}\n")}
	for i := 0; i+1 < len(items); i += 2 {
		r, n := items[i].(itemRow), int64(items[i+1].(int))
		parts = append(parts, strings.NewReader(r.header(n)+"\n"), r.payload(n), strings.NewReader("\n"))
	}
	req := request()
	cfg := req.Settings()
	cfg.AttachmentSize = 4 * mib
	req.Header = http.Header{}
	b, err := (&Envelope{}).Decode(context.Background(), req, io.MultiReader(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fateOf(it *ingest.Item) string {
	if it.Alive() {
		return "kept"
	}
	return string(it.Outcome) + ":" + it.Reason
}

func TestItemTypes(t *testing.T) {
	event := itemRows[0]
	for _, row := range itemRows {
		t.Run(row.name(), func(t *testing.T) {
			one := envelopeOf(t, row, 40).Items[0]
			if !one.Alive() || one.Category != row.category || one.Quantity != 1 {
				t.Errorf("%s, counts as %d %s, want %s", fateOf(one), one.Quantity, one.Category, row.category)
			}
			word := row.typ
			if _, known := schemas.LookupItemType(word); !known {
				word = "unknown"
			}
			if got := fateOf(envelopeOf(t, row, int(row.each+1)).Items[0]); got != "invalid:too_large:"+word {
				t.Errorf("%d bytes: %s", row.each+1, got)
			}
			if row.each <= 10*mib { // larger ones would only cost memory here
				if got := fateOf(envelopeOf(t, row, int(row.each)).Items[0]); got != "kept" {
					t.Errorf("%d bytes: %s", row.each, got)
				}
			}
			many := max(row.count, 120)
			var items []any
			for range many + 1 {
				items = append(items, row, 40)
			}
			ends := map[string]int{}
			for _, it := range envelopeOf(t, items...).Items {
				ends[fateOf(it)]++
			}
			over := "invalid:too_many:" + word
			if row.count == 1 {
				over = "invalid:duplicate_item"
			}
			want := map[string]int{"kept": many + 1}
			if row.count > 0 {
				want = map[string]int{"kept": row.count, over: many + 1 - row.count}
			}
			if fmt.Sprint(ends) != fmt.Sprint(want) {
				t.Errorf("of %d: %v, want %v", many+1, ends, want)
			}
			if schemaType, _ := schemas.LookupItemType(row.typ); schemaType.Main {
				return
			}
			b := envelopeOf(t, row, 40, event, 40)
			b.Drop(b.Items[1], schemas.Filtered, "x")
			if gone := !b.Items[0].Alive(); gone != row.dependent {
				t.Errorf("gone with the event: %v, want %v", gone, row.dependent)
			}
		})
	}
}

// What shares a bound with others of its kind.
func TestSharedBounds(t *testing.T) {
	rows := map[string]itemRow{}
	for _, r := range itemRows {
		if _, have := rows[r.typ]; !have {
			rows[r.typ] = r
		}
	}
	logs := rows["log"]
	for _, c := range []struct {
		name  string
		items []any
		want  string
	}{
		{"event-like types are one kind", []any{rows["event"], 40, rows["feedback"], 40, rows["raw_security"], 40}, "kept invalid:duplicate_item invalid:duplicate_item"},
		{"attachments, reports and crashes have 4 MiB together", []any{rows["attachment"], 3 * mib, rows["unreal_report"], mib, rows["user_report"], 40}, "kept kept invalid:too_large:user_report"},
		{"sessions and aggregates have 10 MiB together", []any{rows["session"], 6 * mib, rows["sessions"], 4 * mib, rows["session"], 40}, "kept kept invalid:too_large:session"},
		{"client reports have 100 KiB together", []any{rows["client_report"], 60 * kib, rows["client_report"], 50 * kib}, "kept invalid:too_large:client_report"},
		{"containers of different kinds stand beside each other", []any{logs, 40, rows["trace_metric"], 40, logs, 40}, "kept kept invalid:duplicate_item"},
		{"a standalone span is no container", []any{rows["span"], 40, rows["span"], 40}, "kept kept"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, it := range envelopeOf(t, c.items...).Items {
				got = append(got, fateOf(it))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

// A container is held to its average: many small logs may be more than one
// large one, up to 12 MiB.
func TestContainersByAverage(t *testing.T) {
	for _, c := range []struct {
		typ, contentType string
		members          int
		size             int64 // of each
		want             string
	}{
		{"log", "log+json", 5, 2*mib - 100, "kept"},
		{"log", "log+json", 5, 2*mib + 100, "invalid:too_large:log"},
		{"log", "log+json", 7, 2*mib - 100, "invalid:too_large:log"}, // 14 MiB
		{"trace_metric", "trace-metric+json", 8, mib - 100, "kept"},
		{"trace_metric", "trace-metric+json", 8, mib + 100, "invalid:too_large:trace_metric"},
		{"span", "span.v2+json", 2, 5 * mib, "kept"},
		{"span", "span.v2+json", 1, 11 * mib, "invalid:too_large:span"},
	} {
		h := schemas.NewItemHeader(c.typ, "content_type", "application/vnd.sentry.items."+c.contentType)
		h.SetItemCount(c.members)
		member := `{"a":"` + strings.Repeat("x", int(c.size)-8) + `"}`
		body := "{}\n" + string(h.Bytes()) + "\n" + `{"items":[` + strings.Repeat(member+",", c.members-1) + member + "]}\n"
		b := decode(t, body)
		if got := fateOf(b.Items[0]); got != c.want {
			t.Errorf("%d× %s of %d bytes: %s, want %s", c.members, c.typ, c.size, got, c.want)
		}
		if b.Items[0].Alive() && b.Items[0].Quantity != c.members {
			t.Errorf("counts as %d", b.Items[0].Quantity)
		}
	}
}
