package schemas

import "strings"

// Bounds of names, in bytes; Relay's.
const (
	MaxRelease     = 200
	MaxEnvironment = 64
	MaxDist        = 64
)

// ValidRelease tells whether Sentry takes a release name: not blank, at most
// 200 bytes, not ".", ".." or "latest" in any case, without slash, backslash,
// newline, carriage return, tab, form feed or vertical tab. All else is legal:
// spaces, Unicode, "@", "+".
func ValidRelease(release string) bool {
	return validName(release, MaxRelease, "latest")
}

// ValidEnvironment tells whether Sentry takes an environment name: not blank,
// at most 64 bytes, not ".", ".." or "none" in any case, without the
// characters a release must not have.
func ValidEnvironment(environment string) bool {
	return validName(environment, MaxEnvironment, "none")
}

func validName(name string, limit int, reserved string) bool {
	if len(name) > limit {
		return false
	}
	for i := range len(name) {
		switch name[i] {
		case '/', '\\', '\r', '\n', '\t', '\f', '\v':
			return false
		}
	}
	plain := strings.TrimSpace(name)
	return plain != "" && plain != "." && plain != ".." && !strings.EqualFold(plain, reserved)
}

// ValidDist tells whether Sentry takes a distribution: 1 to 64 of
// [a-zA-Z0-9_.-].
func ValidDist(dist string) bool {
	if dist == "" || len(dist) > MaxDist {
		return false
	}
	for i := range len(dist) {
		c := dist[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-') {
			return false
		}
	}
	return true
}
