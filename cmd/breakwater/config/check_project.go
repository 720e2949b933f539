package config

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"breakwater/schemas"
)

// owners remembers who has a name that only one may have.
type owners map[string]string

// take reports under key that value is taken, or takes it.
func (o owners) take(c *checker, key, value, what, fix string) {
	if value == "" || value == "0" {
		return
	}
	if first, taken := o[value]; taken {
		c.add(key, fmt.Sprintf("%s %s is already used by %s", what, quoted(value), first), fix)
		return
	}
	o[value] = key
}

func (c *checker) checkProjects() {
	ids, names, keys := owners{}, owners{}, owners{}
	for i, p := range c.Projects {
		at := fmt.Sprintf("projects[%d]", i)
		ids.take(c, at+".id", strconv.FormatUint(p.ID, 10), "id", "give each project its own id")
		names.take(c, at+".name", p.Name, "name", "give each project its own name")
		for j, k := range p.Keys {
			keys.take(c, fmt.Sprintf("%s.keys[%d].public", at, j), k.Public, "key", "make a new one: openssl rand -hex 16")
		}
		if len(p.Keys) == 0 && !c.implicit {
			c.add(at+".keys", "is missing; nobody could send to this project", "add keys: [{public: …}] with the output of: openssl rand -hex 16")
		}
		c.checkProject(at, p)
	}
	// An alias may be nobody's key, id or alias; its own project's included,
	// because it would then say nothing.
	for i, p := range c.Projects {
		for j, a := range p.Aliases {
			key := fmt.Sprintf("projects[%d].aliases[%d]", i, j)
			if owner, taken := ids[a]; taken {
				c.add(key, fmt.Sprintf("%s is already used by %s", quoted(a), owner), "remove it")
				continue
			}
			keys.take(c, key, a, "alias", "remove it from one of them")
		}
	}
}

func (c *checker) checkProject(at string, p Project) {
	if p.Name == reservedName {
		c.add(at+".name", quoted(p.Name)+" is the label of requests without a project", "choose another name")
	}
	names := owners{}
	for j, u := range p.Upstreams {
		key := fmt.Sprintf("%s.upstreams[%d]", at, j)
		names.take(c, key+".name", u.Name, "name", "give each upstream of a project its own name")
		c.checkUpstream(key, u)
	}
	if len(p.Upstreams) > 0 && !slices.ContainsFunc(p.Upstreams, func(u Upstream) bool { return !u.TakesSpans() }) {
		c.add(at+".upstreams", "has only upstreams of type otlp, which take spans: errors would have nowhere to go", "add one of another type; {type: sentry} without a dsn holds them")
	}
	c.checkLimit(at+".limits.per_key", p.Limits.PerKey)
	for _, name := range sortedKeys(p.Limits.Categories) {
		c.checkLimit(at+".limits.categories."+name, p.Limits.Categories[name])
	}
	c.checkSpellings(at+".limits.categories", sortedKeys(p.Limits.Categories))
	c.checkSpellings(at+".limits.quota", sortedKeys(p.Limits.Quota))
	c.checkScrub(at+".scrub", p.Scrub)
}

// reservedName is what metrics call requests that belong to no project.
const reservedName = "__unknown__"

// checkSpellings reports a category that stands there under two names.
func (c *checker) checkSpellings(key string, names []string) {
	seen := map[schemas.Category]string{}
	for _, name := range names {
		cat, ok := schemas.ParseCategory(name)
		if first, twice := seen[cat]; ok && twice {
			c.add(key+"."+name, fmt.Sprintf("is another name of %s, which is also here", first), "keep one of them")
		}
		seen[cat] = name
	}
}

func (c *checker) checkUpstream(key string, u Upstream) {
	kind, known := upstreamKinds[u.Type]
	if !known {
		return // the type itself is reported
	}
	c.checkFields(key, u.Type, reflect.ValueOf(u), kind)
	if u.Type == "sentry" && u.DSN != "" {
		c.checkLoop(key+".dsn", u.DSN)
	}
	if u.APIKey != "" && u.Username != "" {
		c.add(key+".api_key", "is given beside username", "keep one way to log in")
	}
	if u.Password != "" && u.Username == "" {
		c.add(key+".username", "is missing; password needs it", "add username here")
	}
	for _, name := range sortedKeys(u.Headers) {
		if slices.Contains(ownHeaders, strings.ToLower(name)) {
			c.add(key+".headers."+name, "is set by the gateway itself", "remove it")
		}
		if !printable(u.Headers[name].Reveal()) {
			c.add(key+".headers."+name, "value holds characters that a header cannot carry", "use printable ASCII")
		}
	}
	if u.Encoding == "zstd" && u.Type != "sentry" {
		c.add(key+".encoding", "zstd is not understood by "+u.Type, "use gzip or none")
	}
	c.checkCA(key, u.CAFile, u.Type != "syslog" || u.Network == "tls")
	if u.Type == "file" {
		c.checkFile(key+".path", u.Path)
	}
}

// ownHeaders are those that say what a body is, and for whom.
var ownHeaders = []string{"content-type", "content-encoding", "content-length", "transfer-encoding", "host", "connection"}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
