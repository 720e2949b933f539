package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"breakwater/schemas"
)

// Document is one report as destinations keep it that store lines or documents
// and not envelopes: a flat JSON object of named fields, all texts but tags.
// The same record makes the same documents at every attempt, so that a store
// can tell a repeated one. What the door scrubbed is not in it.
type Document struct {
	// ID is the same at every attempt: project id and event id, or, for what
	// has no event id of its own, the id of the record and the place in it.
	ID string `json:"-"`
	// Item is the place of the item in the envelope that the document is of.
	Item int `json:"-"`

	// Timestamp is when it happened by the client's clock, ReceivedAt when it
	// came in by the gateway's; RFC 3339 in UTC with milliseconds.
	Timestamp  string `json:"timestamp"`
	ReceivedAt string `json:"received_at"`
	Project    string `json:"project"`
	// Kind is one of Kinds.
	Kind string `json:"kind"`
	// Level is fatal, error, warning, info or debug.
	Level       string `json:"level"`
	EventID     string `json:"event_id,omitempty"`
	Release     string `json:"release,omitempty"`
	Dist        string `json:"dist,omitempty"`
	Environment string `json:"environment,omitempty"`
	Platform    string `json:"platform,omitempty"`
	Logger      string `json:"logger,omitempty"`
	// Type and Value are those of the exception that was thrown last.
	Type    string `json:"type,omitempty"`
	Value   string `json:"value,omitempty"`
	Message string `json:"message,omitempty"`
	// Culprit is the frame that threw, of the application's own ones when the
	// client says which those are: "function (file:line)".
	Culprit string `json:"culprit,omitempty"`
	// Handled tells whether the program caught the error; absent when the
	// client did not say.
	Handled     *bool  `json:"handled,omitempty"`
	Transaction string `json:"transaction,omitempty"`
	URL         string `json:"url,omitempty"`
	UserID      string `json:"user_id,omitempty"`
	TraceID     string `json:"trace_id,omitempty"`
	SpanID      string `json:"span_id,omitempty"`
	SDK         string `json:"sdk,omitempty"`
	// Group is the gateway's fingerprint of the error.
	Group string `json:"group,omitempty"`
	// Tags are "key:value", so that a client's keys never become fields.
	Tags []string `json:"tags,omitempty"`
	// Event is the whole payload as JSON text, where that is asked for.
	Event string `json:"event,omitempty"`
}

// Kinds are the kinds of documents.
var Kinds = []string{"error", "message", "crash", "security", "feedback", "log"}

// NoDocument is the reason of items that make no document: sessions, replays,
// transactions and all else that no store of documents keeps. They end as
// filtered, unless another destination of the project has delivered them.
const NoDocument = "no_document"

// Bounds of a document's texts, in bytes; longer ones are cut at a character.
const (
	maxShort = 256  // names: release, environment, logger, level of a stack, …
	maxLong  = 8192 // value and message
	maxURL   = 2048
	maxTags  = 50
	maxTag   = 300
	// maxPayload is up to how many bytes a payload is read; of a larger one the
	// document says only what the record's meta does.
	maxPayload = 16 << 20
	// maxLogs bounds the documents of one item.
	maxLogs = 10000
)

const documentTime = "2006-01-02T15:04:05.000Z"

// Documents are the documents of a record, and for each item how it ends when
// they are stored. full adds the whole payload to each. The error says that a
// payload could not be read.
func Documents(m *schemas.Meta, env *schemas.Envelope, full bool) ([]Document, []schemas.Final, error) {
	var docs []Document
	finals := schemas.AllFinal(len(env.Items), schemas.Filtered, NoDocument)
	for i := range env.Items {
		it := &env.Items[i]
		base := Document{
			Item: i, ID: fmt.Sprintf("%s-%d", m.ID, i), Project: m.Project, Level: "error",
			ReceivedAt: m.ReceivedAt.UTC().Format(documentTime), Timestamp: m.ReceivedAt.UTC().Format(documentTime),
			EventID: clipDoc(m.EventID, maxShort), Release: clipDoc(m.Release, maxShort), Group: clipDoc(m.Fingerprint, maxShort),
		}
		var made []Document
		switch it.Header.Type {
		case "event", "feedback", "security", "raw_security", "nel", "user_report", "log", "otel_log":
			payload, err := readPayload(it)
			if err != nil {
				return nil, nil, &DeliverError{Class: Bounded, Reason: "unreadable", Err: fmt.Errorf("reading the stored payload: %w", err)}
			}
			made = documentsOf(it, payload, base, m)
			if full && len(made) == 1 {
				made[0].Event = compactText(payload)
			}
		case "attachment":
			if schemas.CreatesEvent(it.Header.AttachmentType()) && !hasMain(env) {
				base.Kind, base.Level, base.Type = "crash", "fatal", clipDoc(it.Header.AttachmentType(), maxShort)
				base.Value = clipDoc(fmt.Sprintf("%s, %d bytes", it.Header.Filename(), it.Payload.Size()), maxShort)
				made = []Document{base}
			}
		case "unreal_report":
			base.Kind, base.Level, base.Type = "crash", "fatal", "unreal_report"
			made = []Document{base}
		}
		if len(made) > 0 {
			docs = append(docs, made...)
			finals[i] = schemas.Final{Outcome: schemas.Delivered}
		}
	}
	return docs, finals, nil
}

func hasMain(env *schemas.Envelope) bool {
	for i := range env.Items {
		if t, _ := schemas.LookupItemType(env.Items[i].Header.Type); t.Main {
			return true
		}
	}
	return false
}

// readPayload is the payload's bytes, nil for one that is too large.
func readPayload(it *schemas.Item) ([]byte, error) {
	if b, ok := it.InMemory(); ok {
		return b, nil
	}
	if it.Payload.Size() > maxPayload {
		return nil, nil
	}
	r, err := it.Payload.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxPayload))
}

// compactText is JSON on one line, as text.
func compactText(payload []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, payload) != nil {
		return ""
	}
	return b.String()
}

// Line is the document as one line of JSON, without a line break.
func (d *Document) Line() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(d) // texts, a bool and a list of texts: nothing here can fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// LineWithin is Line in at most limit bytes, and at least what names the
// report: the payload goes first, then value and message are cut, then tags,
// then all but the core. Shorter than 1 KiB it does not get.
func (d *Document) LineWithin(limit int) []byte {
	line := d.Line()
	if len(line) <= limit {
		return line
	}
	short := *d
	short.Event = ""
	for _, cut := range []func(){
		func() {},
		func() { short.Message, short.Value = clipDoc(short.Message, 1024), clipDoc(short.Value, 1024) },
		func() { short.Tags = nil },
		func() {
			short.URL, short.Message, short.Value = clipDoc(short.URL, 256), clipDoc(short.Message, 128), clipDoc(short.Value, 128)
		},
		func() {
			short = Document{
				Timestamp: d.Timestamp, ReceivedAt: d.ReceivedAt, Project: d.Project, Kind: d.Kind, Level: d.Level,
				EventID: clipDoc(d.EventID, 64), Type: clipDoc(d.Type, 64), Value: clipDoc(d.Value, 64),
			}
		},
	} {
		cut()
		if line = short.Line(); len(line) <= limit {
			break
		}
	}
	return line
}

// Time is the timestamp; the time of receipt when it cannot be read.
func (d *Document) Time() time.Time {
	t, err := time.Parse(documentTime, d.Timestamp)
	if err != nil {
		t, _ = time.Parse(documentTime, d.ReceivedAt) // ours, and zero in the worst case
	}
	return t
}

// clipDoc cuts a text to at most n bytes, at a character.
func clipDoc(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	cut := n - len(mark)
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + mark
}
