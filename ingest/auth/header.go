package auth

import (
	"encoding/base64"
	"strings"

	"breakwater/ingest"
)

// claim is what one source of credentials says.
type claim struct {
	key     string
	version string // "" when not stated
}

// parseSentry reads "Sentry sentry_version=7, sentry_key=…, sentry_client=…",
// of the X-Sentry-Auth or the Authorization header. ok is false for another
// scheme or an empty header, which is no credential and no error. Blanks,
// trailing commas, quotes and unknown keys are let through; of a key that
// stands twice the last counts. Without a sentry_key it is RejectBadAuth.
func parseSentry(header string) (c claim, ok bool, err error) {
	header = strings.TrimSpace(header)
	const scheme = "sentry"
	if len(header) < len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return claim{}, false, nil
	}
	rest := header[len(scheme):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return claim{}, false, nil
	}
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(pair, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "sentry_key":
			c.key = value
		case "sentry_version":
			c.version = value
		}
	}
	if c.key == "" {
		return claim{}, true, ingest.RejectBadAuth
	}
	return c, true, nil
}

// parseBasic reads "Basic base64(key:password)"; the password is ignored.
func parseBasic(header string) (c claim, ok bool) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if !strings.EqualFold(scheme, "basic") {
		return claim{}, false
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return claim{}, false
	}
	user, _, _ := strings.Cut(string(text), ":")
	return claim{key: user}, user != ""
}

// wellFormed tells whether a key has the form that Sentry issues: 32 hex digits.
func wellFormed(key string) bool {
	if len(key) != 32 {
		return false
	}
	for i := 0; i < len(key); i++ {
		c := key[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
