package schemas

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// CrashReport is the plain JSON report of a client without a Sentry SDK, as
// crash.schema.json publishes it. Only a message or one exception is required;
// fields nobody knows are ignored. Lengths are counted in characters.
type CrashReport struct {
	// ID is the client's own id of the report, 32 hex digits or a UUID: sending
	// it twice makes one event. "" when the gateway shall choose; see EventID.
	ID       string `json:"id" validate:"omitempty,event_id"`
	Platform string `json:"platform" validate:"omitempty,oneof=javascript react-native ios android other"`
	// Release, Dist and Environment are only bounded here: whether Sentry takes
	// the names is decided for every event in one place.
	Release     string `json:"release" validate:"max=200"`
	Dist        Text   `json:"dist" validate:"max=64"`
	Environment string `json:"environment" validate:"max=64"`
	Level       string `json:"level" validate:"omitempty,oneof=fatal error warning info debug"`
	// Timestamp is when it happened; see Time.
	Timestamp jsontext.Value `json:"timestamp" validate:"omitempty,timestamp"`
	Message   string         `json:"message" validate:"required_without=Exceptions,max=8192"`
	// Exceptions are in Sentry's order: causes first, what was thrown last.
	Exceptions  []CrashException                     `json:"exceptions" validate:"max=50,dive"`
	Breadcrumbs []CrashBreadcrumb                    `json:"breadcrumbs" validate:"max=500,dive"`
	User        *CrashUser                           `json:"user"`
	Tags        map[string]Text                      `json:"tags" validate:"max=100,dive,keys,max=200,endkeys,max=200"`
	Contexts    map[string]map[string]jsontext.Value `json:"contexts" validate:"max=50,dive,keys,max=200,endkeys"`
	// Device describes the phone; "os" and "os_version" in it are Sentry's os context.
	Device map[string]jsontext.Value `json:"device" validate:"max=100"`

	// Index is the report's place in its request, from 0. Not on the wire.
	Index int `json:"-"`
}

// CrashException is one exception: a raw stack text of V8, SpiderMonkey,
// JavaScriptCore or Hermes, or frames.
type CrashException struct {
	Type  string `json:"type" validate:"required_without_all=Value Stack,max=256"`
	Value string `json:"value" validate:"max=8192"`
	// Handled is false when nobody caught it; nil when the client does not know.
	Handled *bool `json:"handled"`
	// Mechanism is Sentry's word for who caught it; "" lets the gateway choose
	// generic (caught) or onerror (not caught).
	Mechanism string       `json:"mechanism" validate:"max=64"`
	Module    string       `json:"module" validate:"max=256"`
	Stack     string       `json:"stack" validate:"max=262144"`
	Frames    []CrashFrame `json:"frames" validate:"max=1000,dive"`
}

// CrashFrame is one frame; in a list the oldest call stands first and the
// crash last. Lines and columns begin at 1.
type CrashFrame struct {
	Function string `json:"function" validate:"max=1024"`
	Filename string `json:"filename" validate:"max=2048"`
	AbsPath  string `json:"abs_path" validate:"max=2048"`
	Module   string `json:"module" validate:"max=1024"`
	Lineno   int    `json:"lineno" validate:"gte=0"`
	Colno    int    `json:"colno" validate:"gte=0"`
	InApp    *bool  `json:"in_app"`
}

// CrashBreadcrumb is one step on the way to the crash.
type CrashBreadcrumb struct {
	Timestamp jsontext.Value            `json:"timestamp" validate:"omitempty,timestamp"`
	Type      string                    `json:"type" validate:"max=64"`
	Category  string                    `json:"category" validate:"max=256"`
	Level     string                    `json:"level" validate:"omitempty,oneof=fatal error warning info debug"`
	Message   string                    `json:"message" validate:"max=8192"`
	Data      map[string]jsontext.Value `json:"data" validate:"max=100"`
}

// CrashUser is who was affected.
type CrashUser struct {
	ID        Text            `json:"id" validate:"max=128"`
	Email     string          `json:"email" validate:"max=128"`
	Username  string          `json:"username" validate:"max=128"`
	Name      string          `json:"name" validate:"max=128"`
	IPAddress string          `json:"ip_address" validate:"max=64"`
	Data      map[string]Text `json:"data" validate:"max=100,dive,max=1024"`
}

// Text is a JSON string, or a number or boolean taken as it stands: clients
// write ids, build numbers and tags either way.
type Text string

// UnmarshalJSONFrom reads the next value. An error is a *json.SemanticError of
// the surrounding decoder.
func (t *Text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() != 'n' && v.Kind() != '"' && scalar(v) == "" {
		return errNotText
	}
	*t = Text(scalar(v))
	return nil
}

// EventID is the report's id as 32 lower-case hex digits, "" when it has none.
func (r *CrashReport) EventID() string {
	id, _ := ParseEventID(r.ID)
	return id
}

// Time is when it happened; ok is false when the report does not say.
func (r *CrashReport) Time() (t time.Time, ok bool) { return ParseTimestamp(r.Timestamp) }

// Shift moves the report's time, and those of its breadcrumbs, by d.
func (r *CrashReport) Shift(d time.Duration) {
	shift := func(v jsontext.Value) jsontext.Value {
		t, ok := ParseTimestamp(v)
		if !ok {
			return v
		}
		return QuoteString(t.Add(d).Format(time.RFC3339Nano))
	}
	r.Timestamp = shift(r.Timestamp)
	for i := range r.Breadcrumbs {
		r.Breadcrumbs[i].Timestamp = shift(r.Breadcrumbs[i].Timestamp)
	}
}
