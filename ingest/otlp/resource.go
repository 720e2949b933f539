package otlp

import (
	"encoding/hex"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Bounds of texts, in bytes.
const (
	maxText      = 8192
	maxBody      = 64 << 10
	maxAttribute = 4096
	maxResource  = 16 << 10 // of a resource's attributes, which every log and event repeats
	maxKey       = 200
	maxAttrs     = 128
)

// maxLooked is how many attributes of a record, a span or a resource are looked
// at, twice what SDKs send at most by default: names are searched for in those of the
// resource for every record under it.
const maxLooked = 256

// about is what the attributes of a record, and of its resource, say of where
// it comes from. The record's own come first.
type about struct {
	own, resource []*commonpb.KeyValue
	scope         string
	of            *resourcepb.Resource
}

func of(rec *schemas.OTLPRecord, own []*commonpb.KeyValue) about {
	return about{own: looked(own), resource: looked(rec.Resource.GetAttributes()), of: rec.Resource, scope: rec.Scope.GetName()}
}

func looked(list []*commonpb.KeyValue) []*commonpb.KeyValue {
	n := min(len(list), maxLooked)
	return list[:n:n]
}

// get is the first of several attributes that is there, "" for a list or map:
// it is asked for with every record under a resource.
func (a about) get(names ...string) string {
	v := schemas.OTLPAttribute(a.own, names...)
	if v == nil {
		v = schemas.OTLPAttribute(a.resource, names...)
	}
	return cut(schemas.OTLPPlain(v), maxText)
}

func (a about) release() string { return a.get("service.version") }
func (a about) environment() string {
	return a.get("deployment.environment.name", "deployment.environment")
}

func (a about) url() string {
	return a.get("url.full", "browser.document.url.full", "browser.url.full", "page.url", "http.url", "location.href")
}

func (a about) route() string {
	return a.get("http.route", "url.template", "browser.route", "app.route", "screen.name", "app.screen.name")
}
func (a about) session() string { return a.get("session.id") }
func (a about) userAgent() string {
	return a.get("user_agent.original", "http.user_agent", "browser.user_agent")
}

// browser tells whether it is a page that speaks, so that the User-Agent of
// the request is the user's.
func (a about) browser() bool { return a.get("telemetry.sdk.language") == "webjs" }

// platform is Sentry's word for the language.
func (a about) platform() string {
	switch lang := a.get("telemetry.sdk.language"); lang {
	case "webjs", "nodejs":
		return "javascript"
	case "java", "python", "go", "ruby", "php", "elixir":
		return lang
	case "android", "kotlin":
		return "java"
	case "swift":
		return "cocoa"
	case "cpp", "rust":
		return "native"
	case "dotnet":
		return "csharp"
	}
	return "other"
}

// resources remembers what was made of a resource's attributes: many records
// share one.
type resources struct {
	of   *resourcepb.Resource
	list []schemas.Attribute

	named *resourcepb.Resource
	name  string
}

// identity is a short text that stands for all of a resource's attributes.
func (r *resources) identity(res *resourcepb.Resource) string {
	if r.named != res || r.name == "" {
		r.named, r.name = res, ingest.DerivedID(identity(res.GetAttributes()))
	}
	return r.name
}

func (r *resources) attributes(res *resourcepb.Resource) []schemas.Attribute {
	if r.of != res {
		r.of, r.list = res, nil
		size := 0
		for _, kv := range res.GetAttributes() {
			if k := kv.GetKey(); len(r.list) < maxAttrs && usable(kv) && k != "service.version" && !strings.HasPrefix(k, "deployment.environment") {
				v := value(kv.GetValue())
				if size += len(k) + len(v); size > maxResource {
					break
				}
				r.list = append(r.list, schemas.Attribute{Key: k, Value: v})
			}
		}
	}
	return r.list
}

func usable(kv *commonpb.KeyValue) bool {
	return kv.GetKey() != "" && len(kv.GetKey()) <= maxKey && kv.GetValue().GetValue() != nil
}

// attributes are those of the record, and of its resource, that skip does not
// name (a name that ends in a dot stands for all that begin with it), and how
// many bytes they are.
func (d *decoder) attributes(a about, skip ...string) (list []schemas.Attribute, size int) {
	skipped := func(key string) bool {
		for _, s := range skip {
			if key == s || strings.HasSuffix(s, ".") && strings.HasPrefix(key, s) {
				return true
			}
		}
		return false
	}
	for _, kv := range a.own {
		if len(list) < maxAttrs && usable(kv) && !skipped(kv.GetKey()) {
			list = append(list, schemas.Attribute{Key: kv.GetKey(), Value: value(kv.GetValue())})
		}
	}
	for _, attr := range d.about.attributes(a.of) {
		if len(list) < maxAttrs && !skipped(attr.Key) && schemas.OTLPAttribute(a.own, attr.Key) == nil {
			list = append(list, attr)
		}
	}
	for _, attr := range list {
		size += len(attr.Key) + len(attr.Value) + 40
	}
	return list, size
}

// value is an attribute's value as JSON, not longer than maxAttribute.
func value(v *commonpb.AnyValue) []byte {
	if _, text := v.GetValue().(*commonpb.AnyValue_StringValue); text {
		return schemas.QuoteString(cut(v.GetStringValue(), maxAttribute))
	}
	raw := schemas.OTLPJSONWithin(v, maxAttribute)
	if len(raw) <= maxAttribute {
		return raw
	}
	return schemas.QuoteString(cut(string(raw), maxAttribute))
}

// cut shortens a text to n bytes, at the end of a letter.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// id is a trace or span id in hex; "" for none, or for zeros.
func id(b []byte, n int) string {
	if len(b) != n {
		return ""
	}
	for _, c := range b {
		if c != 0 {
			return hex.EncodeToString(b)
		}
	}
	return ""
}
