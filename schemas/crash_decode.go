package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-playground/validator/v10"
)

// Bounds of one request with crash reports.
const (
	MaxCrashReports = 50
	// MaxCrashRejected is how many reports of a request are spoken of one by
	// one when they are rejected; those beyond are only counted.
	MaxCrashRejected = 1000
	MaxCrashDepth    = 100
)

// Errors of DecodeCrash, beside JSON errors.
var (
	ErrCrashEmpty = errors.New("empty crash report")
	ErrCrashDepth = errors.New("crash report is nested too deeply")

	errNotText = errors.New("is not a string, number or boolean")
)

// RejectedCrash is a report that cannot be used.
type RejectedCrash struct {
	// Index is its place in the request, from 0.
	Index int
	// ID is the client's id of it, 32 lower-case hex digits, "" without a good one.
	ID string
	// Reason is a closed word: see below.
	Reason string
	// Cause names the field and the rule, for the client: "exceptions[0].type: …".
	Cause string
}

// Reasons of a RejectedCrash.
const (
	RejectedReport  = "invalid_report"   // breaks the published schema
	RejectedReports = "too_many_reports" // each one beyond MaxCrashReports
)

// CrashRequest is a body of the crash API taken apart.
type CrashRequest struct {
	// Reports are those that keep to the published schema, Rejected the others;
	// both have their place in the request.
	Reports  []*CrashReport
	Rejected []RejectedCrash
	// More is how many were rejected, as RejectedReports, after the last of
	// Rejected had its place: see MaxCrashRejected.
	More int
	// Batch tells that the body was a list, or {"reports": […]}, however many it
	// held: the answer then speaks of each.
	Batch bool
	// SentAt is the client's clock when it sent, zero when it did not say.
	SentAt time.Time
}

// DecodeCrash reads one crash report, an array of them, or {"sent_at": …,
// "reports": […]}; a report alone may have a sent_at, too. A sent_at that is
// no time is ignored. A report that breaks the published schema is rejected
// with the field's name, its neighbours are kept. Errors (then there is no
// request): ErrCrashEmpty, ErrCrashDepth, or that the body is not JSON.
func DecodeCrash(body []byte) (*CrashRequest, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return nil, ErrCrashEmpty
	}
	if TooDeep(body, MaxCrashDepth) {
		return nil, ErrCrashDepth
	}
	if !Valid(body) {
		return nil, whyInvalid(body, "a crash report")
	}
	c := &CrashRequest{}
	list := jsontext.Value(body)
	if list[0] == '{' {
		if at, ok := Lookup(list, "sent_at"); ok {
			c.SentAt, _ = ParseTimestamp(at)
		}
		if in, ok := Lookup(list, "reports"); ok && in.Kind() == '[' {
			list = in
		}
	}
	if c.Batch = list[0] == '['; !c.Batch {
		c.add(0, list)
		return c, nil
	}
	i := 0
	for el := range Elements(list) {
		if len(c.Rejected) < MaxCrashRejected {
			c.add(i, el)
		} else {
			c.More++
		}
		i++
	}
	return c, nil
}

func (c *CrashRequest) add(i int, el jsontext.Value) {
	reason, cause := RejectedReports, fmt.Sprintf("more than %d reports", MaxCrashReports)
	if i < MaxCrashReports {
		var r *CrashReport
		if r, cause = decodeCrash(el); r != nil {
			r.Index = i
			c.Reports = append(c.Reports, r)
			return
		}
		reason = RejectedReport
	}
	given, _ := Lookup(el, "id")
	text, _ := UnquoteString(given)
	id, _ := ParseEventID(text)
	c.Rejected = append(c.Rejected, RejectedCrash{i, id, reason, cause})
}

func decodeCrash(raw jsontext.Value) (*CrashReport, string) {
	r := new(CrashReport)
	if err := json.Unmarshal(raw, r, jsonLenient...); err != nil {
		return nil, semanticCause(err)
	}
	if len(r.Exceptions) == 0 {
		r.Exceptions = nil // an empty list is none
	}
	if err := crashRules().Struct(r); err != nil {
		return nil, ruleCause(err)
	}
	return r, ""
}

// semanticCause says which field is of the wrong kind.
func semanticCause(err error) string {
	var se *json.SemanticError
	if !errors.As(err, &se) {
		return err.Error()
	}
	var path strings.Builder
	for name := range se.JSONPointer.Tokens() {
		switch {
		case strings.Trim(name, "0123456789") == "" && name != "":
			path.WriteString("[" + name + "]")
		case path.Len() > 0:
			path.WriteString("." + clipText(name))
		default:
			path.WriteString(clipText(name))
		}
	}
	if path.Len() == 0 {
		path.WriteString("report")
	}
	return path.String() + ": must not be a " + kindName(se.JSONKind)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '"':
		return "string"
	case '0':
		return "number like this"
	case 't', 'f':
		return "boolean"
	case '[':
		return "list"
	case '{':
		return "object"
	}
	return "value of this kind"
}

// ruleCause says which field breaks which rule.
func ruleCause(err error) string {
	var fields validator.ValidationErrors
	if !errors.As(err, &fields) || len(fields) == 0 {
		return "report: breaks the schema"
	}
	f := fields[0]
	_, name, _ := strings.Cut(f.Namespace(), ".")
	rule := "breaks the rule " + f.Tag()
	switch f.Tag() {
	case "max":
		rule = "at most " + f.Param()
	case "gte":
		rule = "at least " + f.Param()
	case "oneof":
		rule = "one of " + f.Param()
	case "required_without":
		rule = "a message or an exception is required"
	case "required_without_all":
		rule = "a type, a value or a stack is required"
	case "event_id":
		rule = "32 hex digits or a UUID"
	case "timestamp":
		rule = "seconds since 1970 or RFC 3339"
	}
	return clipText(name) + ": " + rule
}

// clipText keeps a client's own words in an answer short and printable.
func clipText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

var crashRules = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
	must := func(tag string, fn validator.Func) {
		if err := v.RegisterValidation(tag, fn); err != nil {
			panic(err) // a constant
		}
	}
	must("event_id", func(f validator.FieldLevel) bool { _, ok := ParseEventID(f.Field().String()); return ok })
	must("timestamp", func(f validator.FieldLevel) bool {
		v := jsontext.Value(f.Field().Bytes())
		if v.Kind() == 'n' {
			return true
		}
		_, ok := ParseTimestamp(v)
		return ok
	})
	return v
})
