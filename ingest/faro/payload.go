package faro

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"breakwater/schemas"
)

// Bounds of texts, in bytes, and of lists.
const (
	maxText    = 8192
	maxBody    = 64 << 10
	maxValue   = 4096
	maxShared  = 1024 // of what stands in every log
	maxKey     = 200
	maxMembers = 128
)

// lenient is how payloads are read: what SDKs send, and browsers cut.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// meta is what all entries of a payload share. Each member is read by itself:
// a broken one costs no more than itself.
type meta struct {
	SDK struct {
		Name, Version schemas.Text
	}
	App struct {
		Name, Namespace, Version, Environment, Release schemas.Text
	}
	User struct {
		ID, Username, Email, FullName schemas.Text
	}
	Session struct{ ID schemas.Text }
	Page    struct{ ID, URL schemas.Text }
	View    struct{ Name schemas.Text }
	Browser struct {
		Name, Version, OS, UserAgent, Language schemas.Text
		Mobile                                 bool
	}
	OS struct{ Name, Version schemas.Text }
}

func readMeta(raw jsontext.Value) (m meta) {
	for name, into := range map[string]any{
		"sdk": &m.SDK, "app": &m.App, "user": &m.User, "session": &m.Session, "page": &m.Page, "view": &m.View, "browser": &m.Browser, "os": &m.OS,
	} {
		if v, ok := schemas.Lookup(raw, name); ok {
			_ = json.Unmarshal(v, into, lenient, json.MatchCaseInsensitiveNames(true)) // what could be read of it
		}
	}
	for _, s := range [...]*schemas.Text{
		&m.SDK.Name, &m.SDK.Version, &m.App.Name, &m.App.Namespace, &m.App.Version, &m.App.Environment, &m.App.Release,
		&m.User.ID, &m.User.Username, &m.User.Email, &m.User.FullName, &m.Session.ID, &m.Page.ID, &m.Page.URL, &m.View.Name,
		&m.Browser.Name, &m.Browser.Version, &m.Browser.OS, &m.Browser.UserAgent, &m.Browser.Language, &m.OS.Name, &m.OS.Version,
	} {
		*s = schemas.Text(cut(string(*s), maxText)) // every entry gets its copy
	}
	return m
}

// native tells the React Native SDK from the web's.
func (m *meta) native() bool { return strings.Contains(string(m.SDK.Name), "react-native") }

// route is the page's name where the app gave one.
func (m *meta) route() string {
	if m.Page.ID != "" {
		return cut(string(m.Page.ID), 2000)
	}
	if v := string(m.View.Name); v != "" && v != "default" {
		return cut(v, 2000)
	}
	return ""
}

// trace is what an entry says of the trace it belongs to.
type trace struct {
	TraceID schemas.Text `json:"trace_id"`
	SpanID  schemas.Text `json:"span_id"`
}

func (t trace) ids() (traceID, spanID string) {
	traceID, spanID = strings.ToLower(string(t.TraceID)), strings.ToLower(string(t.SpanID))
	if !isHex(traceID, 32) {
		return "", ""
	}
	if !isHex(spanID, 16) {
		spanID = ""
	}
	return traceID, spanID
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != ""
}

type exception struct {
	Type, Value schemas.Text
	Timestamp   jsontext.Value
	Fingerprint schemas.Text
	Context     jsontext.Value
	Trace       trace
	Stacktrace  struct {
		Frames []struct {
			Filename, Function, Module schemas.Text
			Lineno, Colno              float64
		}
	}
}

type logEntry struct {
	Message   schemas.Text
	Level     schemas.Text
	Timestamp jsontext.Value
	Context   jsontext.Value
	Trace     trace
}

type event struct {
	Name, Domain schemas.Text
	Timestamp    jsontext.Value
	Attributes   jsontext.Value
	Trace        trace
}

type measurement struct {
	Type      schemas.Text
	Timestamp jsontext.Value
	Values    jsontext.Value
	Context   jsontext.Value
	Trace     trace
}

// read decodes one entry; ok is false when it is no object of the kind.
func read(raw jsontext.Value, into any) bool {
	return raw.Kind() == '{' && json.Unmarshal(raw, into, lenient, json.MatchCaseInsensitiveNames(true)) == nil
}

// when is an entry's time, the request's when it says none.
func when(v jsontext.Value, received time.Time) time.Time {
	if t, ok := schemas.ParseTimestamp(v); ok {
		return t
	}
	return received
}

// attributes are the members of an object under a prefix, as log attributes.
func attributes(list []schemas.Attribute, prefix string, v jsontext.Value) []schemas.Attribute {
	for name, value := range schemas.Members(v) {
		if len(list) >= maxMembers {
			break
		}
		if len(name) == 0 || len(name) > maxKey || value.Kind() == 'n' {
			continue
		}
		if len(value) > maxValue {
			text := string(value)
			if s, ok := schemas.UnquoteString(value); ok {
				text = s
			}
			value = schemas.QuoteString(cut(text, maxValue))
		}
		list = append(list, schemas.Attribute{Key: prefix + strings.ToValidUTF8(string(name), "\uFFFD"), Value: value})
	}
	return list
}

// text adds an attribute unless it is empty.
func text(list []schemas.Attribute, key, s string) []schemas.Attribute {
	if s == "" {
		return list
	}
	return append(list, schemas.TextAttribute(key, cut(s, maxValue)))
}

// cut shortens a text to n bytes, at the end of a letter.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
