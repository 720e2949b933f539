package scrub

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Opaque says what happens to what cannot be looked into.
type Opaque string

// The two policies for attachments, minidumps, replay videos and unreadable payloads.
const (
	Forward Opaque = "forward"
	Drop    Opaque = "drop"
)

// Config is what is scrubbed from one project's items. The zero value scrubs
// nothing; see DefaultConfig.
type Config struct {
	// Defaults applies Sentry's default scrubbers.
	Defaults bool
	// IP removes client addresses: user.ip_address, request.env.REMOTE_ADDR,
	// sdk.client_ip and the like whatever they hold, any other address as [ip].
	IP bool
	// Email replaces e-mail addresses by [email].
	Email bool
	// Fields are further sensitive key names: a key that contains one, in any
	// case, has its value replaced. At most 500, 16 KiB in all.
	Fields []string
	// SafeFields are key names (the whole key, in any case) or path selectors
	// whose own value is exempt from everything but Rules.
	SafeFields []string
	// Rules are the project's own; they run before the built-in ones. At most 100.
	Rules []Rule
	// Opaque is the policy for what cannot be parsed; "" means Forward.
	Opaque Opaque
	// Salt keys the hashes of action "hash": the same value gives the same hash
	// on this installation and on no other. Required if a rule hashes.
	Salt []byte
}

// Rule is one custom rule.
type Rule struct {
	// Name is the metric's label and the remark's rule id: letters, digits, _ and -.
	Name string
	// Pattern is an RE2 expression, or a built-in type: @ip, @email, @creditcard,
	// @iban, @usssn, @pemkey, @urlauth, @userpath, @bearer, @imei, @mac, @uuid,
	// @anything. "" is @anything: the whole value.
	Pattern string
	// Path says where; see Selector. "" is $string: everywhere but in kept fields.
	Path string
	// Action is what is done with what was found; "" means replace.
	Action Action
}

// Action is what a custom rule does.
type Action string

// The actions: [Filtered], an asterisk per character, 40 hex digits of
// HMAC-SHA1 with Config.Salt, or nothing at all. A value that is no string
// becomes null under each of them.
const (
	Replace Action = "replace"
	Mask    Action = "mask"
	Hash    Action = "hash"
	Remove  Action = "remove"
)

// DefaultConfig is what a project gets that configures nothing: Sentry's default
// scrubbers and no client addresses.
func DefaultConfig() Config { return Config{Defaults: true, IP: true, Opaque: Forward} }

// Bounds of a configuration.
const (
	maxFields     = 500
	maxFieldBytes = 16 << 10
	maxRules      = 100
)

// Validate tells every fault of a configuration at once.
func (c Config) Validate() error {
	_, err := compile(c)
	return err
}

func (c Config) check() (errs []error) {
	switch c.Opaque {
	case "", Forward, Drop:
	default:
		errs = append(errs, fmt.Errorf("opaque: %q is neither forward nor drop", c.Opaque))
	}
	total := 0
	for _, f := range c.Fields {
		total += len(f)
	}
	if len(c.Fields) > maxFields || total > maxFieldBytes {
		errs = append(errs, fmt.Errorf("fields: more than %d names or %d bytes", maxFields, maxFieldBytes))
	}
	if len(c.Rules) > maxRules {
		errs = append(errs, fmt.Errorf("rules: more than %d", maxRules))
	}
	names := map[string]bool{}
	for _, n := range RuleNames {
		names[n] = true
	}
	for i, r := range c.Rules {
		switch {
		case !ruleName.MatchString(r.Name):
			errs = append(errs, fmt.Errorf("rules[%d]: name %q is not 1 to 64 letters, digits, _ or -", i, r.Name))
		case names[r.Name]:
			errs = append(errs, fmt.Errorf("rules[%d]: name %q is taken", i, r.Name))
		}
		names[r.Name] = true
		if r.Action == Hash && len(c.Salt) == 0 {
			errs = append(errs, fmt.Errorf("rules[%d] (%s): action hash needs a salt", i, r.Name))
		}
	}
	return errs
}

var ruleName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Rules are a Config made ready. They never change and may be used by any
// number of goroutines; see Compile.
type Rules struct {
	cfg     Config
	scanner *scanner
	safe    []string   // folded whole keys
	safeAt  []selector // safe fields that are paths
	custom  []customRule
	// everywhere tells that a custom rule needs every string looked at; reaches
	// that one names kept fields.
	everywhere, reaches bool
	// named: the configuration names keys, so that those of the schema count, too.
	named bool
	off   [builtinRules]bool
	names []string // rule names by ruleID
}

// Compile checks a configuration and makes it ready; the error tells every fault.
func Compile(c Config) (*Rules, error) {
	r, err := compile(c)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func compile(c Config) (*Rules, error) {
	errs := c.check()
	r := &Rules{cfg: c, names: append([]string(nil), RuleNames...)}
	var fields []string
	if len(errs) == 0 {
		for _, f := range c.Fields {
			if f = strings.TrimSpace(f); f != "" {
				fields = append(fields, f)
			}
		}
	}
	r.scanner = newScanner(fields)
	for i, f := range c.SafeFields {
		f = strings.TrimSpace(f)
		switch {
		case f == "":
		case strings.ContainsAny(f, ".*$'"):
			sel, err := parseSelector(f)
			if err != nil {
				// Names of fields may look like paths; they stay names, as in Sentry.
				r.safe = append(r.safe, foldASCII(f))
				continue
			}
			r.safeAt = append(r.safeAt, sel)
			r.safe = append(r.safe, foldASCII(f))
		default:
			r.safe = append(r.safe, foldASCII(c.SafeFields[i]))
		}
	}
	for i, rule := range c.Rules {
		cr, err := compileRule(rule, ruleID(len(r.names)), c.Salt)
		if err != nil {
			errs = append(errs, fmt.Errorf("rules[%d] (%s): %w", i, rule.Name, err))
			continue
		}
		r.names = append(r.names, rule.Name)
		r.custom = append(r.custom, cr)
		r.everywhere = true
		r.reaches = r.reaches || cr.at.specific
	}
	r.named = len(fields) > 0 || len(r.safe) > 0
	return r, errors.Join(errs...)
}
