package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"sort"

	"github.com/goccy/go-yaml"

	"breakwater/schemas"
)

// Redacted is the configuration in force as YAML: every key with its value,
// defaults and environment included, secrets as ***. Keys that have no meaning
// for the type of an upstream or output are left out.
func (c *Config) Redacted() string {
	out, err := yaml.MarshalWithOptions(tree(reflect.ValueOf(*c)), yaml.IndentSequence(true))
	if err != nil {
		return "# cannot be shown: " + err.Error() + "\n"
	}
	return string(out)
}

// tree turns a value into ordered pairs, lists and words.
func tree(v reflect.Value) any {
	if m, ok := v.Interface().(interface{ MarshalText() ([]byte, error) }); ok {
		text, err := m.MarshalText()
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.Struct:
		keep := meaning(v.Interface())
		pairs := yaml.MapSlice{}
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			if name != "" && (keep == nil || slices.Contains(keep, name)) {
				pairs = append(pairs, yaml.MapItem{Key: name, Value: tree(v.Field(i))})
			}
		}
		return pairs
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = tree(v.Index(i))
		}
		return list
	case reflect.Map:
		pairs := yaml.MapSlice{}
		for _, k := range v.MapKeys() {
			pairs = append(pairs, yaml.MapItem{Key: k.String(), Value: tree(v.MapIndex(k))})
		}
		sort.Slice(pairs, func(i, j int) bool { return pairs[i].Key.(string) < pairs[j].Key.(string) })
		return pairs
	default:
		return v.Interface()
	}
}

// meaning lists the keys to show, nil for all.
func meaning(v any) []string {
	switch v := v.(type) {
	case Upstream:
		return upstreamKinds[v.Type].keys()
	case Output:
		return outputKinds[v.Type].keys()
	}
	return nil
}

// Hash identifies the configuration in force: 12 hexadecimal digits that are
// the same on every gateway with the same settings. Secrets take part only by
// being there or not, because the hash is shown to everybody who may scrape
// metrics, and a weak secret could be guessed from it.
func (c *Config) Hash() string {
	sum := sha256.Sum256([]byte(c.Redacted()))
	return hex.EncodeToString(sum[:6])
}

// Warnings are what is allowed and yet worth a line at the start.
func (c *Config) Warnings() Problems {
	var ps Problems
	warn := func(key, reason, fix string) {
		ps = append(ps, Problem{File: "configuration", Key: key, Reason: reason, Fix: fix})
	}
	c.Spool.warnings(warn)
	for i, p := range c.Projects {
		for j, u := range p.Upstreams {
			key := upstreamKey(i, j) + ".dsn"
			if u.Held() {
				warn(key, fmt.Sprintf("upstream %s of project %s has no DSN: its reports are held in the spool", u.Name, p.Name), "set SENTRY_DSN or the upstream's dsn; what is held is relayed then")
				continue
			}
			if d, err := schemas.ParseDSN(u.DSN.Reveal()); err == nil && u.Type == "sentry" && d.Scheme == "http" && !loopback(hostOf(d)) {
				warn(key, fmt.Sprintf("upstream %s of project %s is sent reports without TLS", u.Name, p.Name), "use https, unless the network between is your own")
			}
		}
		if !p.Scrub.Defaults {
			warn(fmt.Sprintf("projects[%d].scrub.defaults", i), "passwords, tokens and card numbers in reports of project "+p.Name+" are not removed", "set scrub.defaults to true")
		}
	}
	return ps
}
