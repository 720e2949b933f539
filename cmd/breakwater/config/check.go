package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"breakwater/ingest/scrub"
)

// checker looks at a decoded configuration as a whole.
type checker struct {
	*Config
	*decoder
	// from names the environment variable that a key was taken from.
	from map[string]string
	// bad holds the keys that already have a problem: one each is enough.
	bad map[string]bool
	// files are the files that are written to, by their absolute path.
	files owners
}

func newChecker(c *Config, d *decoder) *checker {
	k := &checker{Config: c, decoder: d, from: map[string]string{}, bad: map[string]bool{}, files: owners{}}
	for _, p := range d.problems {
		k.bad[p.Key] = true
	}
	return k
}

// add reports a problem of a key at its place in the file, or, for a key that
// the file does not have, at the place of what should hold it.
func (c *checker) add(key, reason, fix string) {
	if c.bad[key] || c.inherited(key) {
		return
	}
	c.bad[key] = true
	if name := c.from[key]; name != "" {
		p := Problem{File: "environment", Key: name, Reason: reason, Fix: fix}
		for _, have := range c.problems {
			if have == p {
				return
			}
		}
		c.problems = append(c.problems, p)
		return
	}
	c.decoder.add(c.place(key), key, reason, fix)
}

// inherited tells whether a key's problem is that of the general scrubbing,
// from which a project has it.
func (c *checker) inherited(key string) bool {
	_, rest, ok := strings.Cut(key, "].scrub.")
	_, given := c.places[key]
	return ok && !given && c.bad["scrub."+rest]
}

// place finds a key or the nearest one above it.
func (c *checker) place(key string) place {
	for k := key; k != ""; {
		if at, ok := c.places[k]; ok && at.line > 0 {
			return at
		}
		cut := strings.LastIndexAny(k, ".[")
		if cut < 0 {
			break
		}
		k = k[:cut]
	}
	if c.file == "" || c.file == environment {
		return place{}
	}
	return place{1, 1}
}

// quote shows a value, unless it is secret or came from the environment.
func (c *checker) quote(key string, t reflect.Type, text string) string {
	if len(c.vars[key]) > 0 || c.from[key] == "" && !hidden(t, key) {
		return c.decoder.quote(key, reflect.New(t).Elem(), text)
	}
	if hidden(t, key) {
		return "value"
	}
	return quoted(text)
}

// check runs all checks; afterwards c.problems is complete.
func (c *checker) check() {
	c.checkTags()
	c.checkServer()
	c.checkLimits()
	c.checkSpool()
	c.checkLogs()
	c.checkScrub("scrub", c.Scrub)
	c.checkVitals()
	c.checkProjects()
}

func (c *checker) checkLimits() {
	l := c.Limits
	for _, s := range []struct {
		key  string
		size Size
	}{{"request_size", l.RequestSize}, {"event_size", l.EventSize}, {"attachment_size", l.AttachmentSize}, {"beacon_size", l.BeaconSize}} {
		if s.size > l.DecompressedSize {
			c.add("limits."+s.key, fmt.Sprintf("%s is more than limits.decompressed_size (%s), so it could never be reached", s.size, l.DecompressedSize),
				"lower it, or raise limits.decompressed_size")
		}
	}
	if r := l.Redis; r.WhenAway == "stricter" && r.Gateways < 2 {
		c.add("limits.redis.gateways", "must be given for when_away: stricter, which divides the limits by it", "say how many gateways share the limits, such as 3")
	}
	c.checkLimit("limits.per_ip", l.PerIP)
	if l.PerIP.Burst < minBurst {
		c.add("limits.per_ip.burst", fmt.Sprintf("%d would refuse a phone that comes back online: its SDK sends up to %d cached envelopes at once", l.PerIP.Burst, minBurst),
			fmt.Sprintf("use at least %d", minBurst))
	}
}

// minBurst is how many envelopes the mobile SDKs cache while offline.
const minBurst = 30

func (c *checker) checkLimit(key string, l Limit) {
	if l.Rate.Count <= 0 {
		c.add(key+".rate", "is missing", "give a rate, such as rate: 100/s")
	}
}

func (c *checker) checkLogs() {
	for i, o := range c.Logs.Outputs {
		if kind, known := outputKinds[o.Type]; known {
			key := fmt.Sprintf("logs.outputs[%d]", i)
			c.checkFields(key, o.Type, reflect.ValueOf(o), kind)
			c.checkOutput(key, o)
		}
	}
}

// checkFields reports the fields that a type of upstream or output needs and
// that are missing, and those that are given and have no meaning for it.
func (c *checker) checkFields(key, typ string, v reflect.Value, k kind) {
	for _, name := range k.needs {
		if v.Field(fieldOf(v.Type(), name)).IsZero() {
			c.add(join(key, name), "is missing; "+typ+" needs it", "add "+name+" here")
		}
	}
	for _, name := range keysOf(v.Type()) {
		if _, given := c.places[join(key, name)]; given && !slices.Contains(k.keys(), name) {
			c.add(join(key, name), "has no meaning for type "+typ, "remove it, or change the type")
		}
	}
}

func (c *checker) checkScrub(key string, s Scrub) {
	seen := map[string]int{}
	for i, r := range s.Rules {
		at := fmt.Sprintf("%s.rules[%d]", key, i)
		if r.Pattern == "" && r.Path == "" {
			c.add(at, "rule has neither pattern nor path, so it would remove everything", "add one of them")
		}
		if slices.Contains(scrub.RuleNames, r.Name) {
			c.add(at+".name", quoted(r.Name)+" is the name of a built-in rule", "choose another name")
		}
		if first, twice := seen[r.Name]; twice && r.Name != "" {
			c.add(at+".name", fmt.Sprintf("%q is already the name of rule %d", r.Name, first), "give each rule its own name")
		}
		seen[r.Name] = i
		// The scrubber knows its own paths best.
		if err := (scrub.Config{Rules: []scrub.Rule{{Name: "rule", Path: r.Path}}}).Validate(); err != nil {
			c.add(at+".path", quoted(r.Path)+" is not a path: "+lastWords(err), "write keys with dots between them, like user.email, $frame.vars.** or contexts.*.token")
		}
	}
}

// lastWords is the innermost reason of an error.
func lastWords(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, ": "); at >= 0 {
		return text[at+2:]
	}
	return text
}

// MaxLabelSets bounds the label sets of Web Vitals over all projects: beyond
// it a Prometheus server suffers before the gateway does.
const MaxLabelSets = 200_000

func (c *checker) checkVitals() {
	v := c.Vitals
	if v.SettleMax < v.Settle {
		c.add("vitals.settle_max", fmt.Sprintf("%s is less than vitals.settle (%s)", v.SettleMax, v.Settle), "make it at least as long; ten times is sensible")
	}
	if n := max(len(c.Projects), 1); v.SeriesPerProject > 0 && v.SeriesPerProject <= MaxLabelSets && v.SeriesPerProject*n > MaxLabelSets {
		c.add("vitals.series_per_project", fmt.Sprintf("%d for each of %d projects could make %d label sets; at most %d are safe", v.SeriesPerProject, n, v.SeriesPerProject*n, MaxLabelSets),
			fmt.Sprintf("use at most %d", MaxLabelSets/n))
	}
}
