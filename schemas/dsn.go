package schemas

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// MaxDSN bounds a DSN, in bytes. Real ones stay below 200.
const MaxDSN = 2048

// DSN is where a Sentry SDK sends to, and as whom:
//
//	{scheme}://{public key}[:{secret}]@{host}[:{port}][/{path}]/{project id}
//
// A DSN prints without its secret in every verb of fmt and in JSON, so it can
// stand in logs and errors. It is a plain value; == compares two.
type DSN struct {
	Scheme    string // http or https
	PublicKey string // as written; Sentry issues 32 lower-case hex digits
	Secret    string // obsolete; read so that it can be hidden, never sent
	Host      string // name or address with the port if one was written; IPv6 in brackets
	Path      string // the prefix in front of /api/, "" or with a leading and no trailing slash
	ProjectID string // the last path segment; digits at Sentry, a word elsewhere
}

// The faults ParseDSN tells apart. None of them repeats the text: it may
// hold a secret.
var (
	ErrDSNLong    = errors.New("DSN is longer than 2048 bytes")
	ErrDSNSyntax  = errors.New("DSN is not of the form scheme://key@host/project")
	ErrDSNScheme  = errors.New("DSN scheme is not http or https")
	ErrDSNKey     = errors.New("DSN has no public key, or one with characters other than letters, digits, _ and -")
	ErrDSNHost    = errors.New("DSN has no valid host")
	ErrDSNPath    = errors.New("DSN path has an empty segment, a dot segment or characters that need escaping")
	ErrDSNProject = errors.New("DSN has no project id as its last path segment")
)

// ParseDSN reads a DSN. A trailing slash, a query and a fragment are ignored,
// as old SDKs kept options there. Errors are one of the ErrDSN values.
func ParseDSN(s string) (DSN, error) {
	s = strings.TrimSpace(s)
	if len(s) > MaxDSN {
		return DSN{}, ErrDSNLong
	}
	s, _, _ = strings.Cut(s, "#")
	s, _, _ = strings.Cut(s, "?")
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" { // url's error holds the text, secret and all
		return DSN{}, ErrDSNSyntax
	}
	d := DSN{Scheme: u.Scheme, Host: u.Host}
	if d.Scheme != "http" && d.Scheme != "https" {
		return DSN{}, ErrDSNScheme
	}
	if u.User == nil || !isWord(u.User.Username(), 128) {
		return DSN{}, ErrDSNKey
	}
	d.PublicKey = u.User.Username()
	d.Secret, _ = u.User.Password()
	if !validHost(u) {
		return DSN{}, ErrDSNHost
	}
	if u.RawPath != "" { // something in the path was escaped
		return DSN{}, ErrDSNPath
	}
	path := strings.TrimSuffix(u.Path, "/")
	cut := strings.LastIndexByte(path, '/')
	if cut < 0 || !isWord(path[cut+1:], 64) {
		return DSN{}, ErrDSNProject
	}
	d.Path, d.ProjectID = path[:cut], path[cut+1:]
	if d.Path != "" {
		for _, seg := range strings.Split(d.Path[1:], "/") {
			if !isPathSegment(seg) {
				return DSN{}, ErrDSNPath
			}
		}
	}
	return d, nil
}

// EnvelopeURL is where envelopes of this DSN are posted. It holds no key.
func (d DSN) EnvelopeURL() string {
	u := url.URL{Scheme: d.Scheme, Host: d.Host, Path: d.Path + "/api/" + d.ProjectID + "/envelope/"}
	return u.String()
}

// String is the DSN without its secret.
func (d DSN) String() string {
	if d == (DSN{}) {
		return ""
	}
	u := url.URL{Scheme: d.Scheme, User: url.User(d.PublicKey), Host: d.Host, Path: d.Path + "/" + d.ProjectID}
	return u.String()
}

// GoString hides the secret from %#v.
func (d DSN) GoString() string { return "schemas.DSN(" + strconv.Quote(d.String()) + ")" }

// MarshalText hides the secret from JSON and YAML.
func (d DSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Org is the organization's id where the host tells it: hosted Sentry names
// them o<digits>.… ; "" otherwise.
func (d DSN) Org() string {
	label, _, ok := strings.Cut(d.Host, ".")
	if !ok || len(label) < 2 || label[0] != 'o' {
		return ""
	}
	for _, c := range label[1:] {
		if c < '0' || c > '9' {
			return ""
		}
	}
	return label[1:]
}

func validHost(u *url.URL) bool {
	name, port := u.Hostname(), u.Port()
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return false
	}
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(name)
		return err == nil && ip.Is6()
	}
	if net.ParseIP(name) != nil {
		return true
	}
	for _, c := range name {
		if !isWordRune(c) && c != '.' {
			return false
		}
	}
	return name != "" && len(name) <= 253 && name[0] != '.' && name[0] != '-'
}

func isPathSegment(s string) bool {
	if s == "" || s == "." || s == ".." {
		return false
	}
	for _, c := range s {
		if !isWordRune(c) && c != '.' && c != '~' {
			return false
		}
	}
	return true
}

func isWord(s string, longest int) bool {
	for _, c := range s {
		if !isWordRune(c) {
			return false
		}
	}
	return s != "" && len(s) <= longest
}

func isWordRune(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
