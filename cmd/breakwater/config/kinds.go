package config

import "slices"

// kind says which keys a type of upstream or output needs, and which further
// ones have a meaning for it.
type kind struct{ needs, takes, common []string }

var (
	anyUpstream   = []string{"name", "type", "timeout", "max_attempts"}
	upstreamKinds = map[string]kind{
		"sentry":        {nil, []string{"dsn", "encoding", "concurrency"}, anyUpstream},
		"elasticsearch": {[]string{"url", "index"}, []string{"encoding", "concurrency", "api_key", "username", "password", "ca_file", "full_event"}, anyUpstream},
		"loki":          {[]string{"url"}, []string{"encoding", "concurrency", "tenant", "labels", "username", "password", "ca_file", "full_event"}, anyUpstream},
		"syslog":        {[]string{"address"}, []string{"network", "facility", "ca_file", "full_event"}, anyUpstream},
		"file":          {[]string{"path"}, []string{"max_size", "keep", "full_event"}, anyUpstream},
		"otlp":          {[]string{"url"}, []string{"encoding", "concurrency", "headers", "username", "password", "ca_file"}, anyUpstream},
	}

	anyOutput   = []string{"type"}
	outputKinds = map[string]kind{
		"stdout": {nil, []string{"format"}, anyOutput},
		"stderr": {nil, []string{"format"}, anyOutput},
		"syslog": {[]string{"address"}, []string{"network", "facility", "ca_file"}, anyOutput},
		"file":   {[]string{"path"}, []string{"max_size", "keep"}, anyOutput},
	}
)

// keys are all keys with a meaning.
func (k kind) keys() []string { return slices.Concat(k.needs, k.takes, k.common) }
