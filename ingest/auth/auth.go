package auth

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"breakwater/ingest"
	"breakwater/schemas"
)

// maxVersion is the newest protocol version that is understood; SDKs say 7.
const maxVersion = 8

// Auth is the ingest.Authenticator of Sentry's protocol and of our own
// endpoints. The zero value is ready.
type Auth struct{}

var _ ingest.Authenticator = Auth{}

// Authenticate finds the one set of credentials in the request's head and the
// project they open. The path's project must be a number (400), the key 32 hex
// digits (400) that the directory knows, for that project (403).
func (Auth) Authenticate(dir *ingest.Directory, h ingest.Head) (*ingest.Project, *ingest.Key, error) {
	id, err := projectID(h)
	if err != nil {
		return nil, nil, err
	}
	c, found, err := credentials(h)
	if err != nil {
		return nil, nil, err
	}
	if !found {
		if h.Mode == ingest.AuthEnvelope || h.Mode == ingest.AuthTunnel {
			return nil, nil, nil
		}
		return nil, nil, ingest.RejectNoAuth
	}
	if err := checkVersion(c.version); err != nil {
		return nil, nil, err
	}
	p, k := byKey(dir, c.key) // first: a key that is known is well formed
	switch {
	case p == nil && !wellFormed(c.key):
		return nil, nil, ingest.RejectBadKey
	case p == nil, h.HasProject && p.ID != id:
		return nil, nil, ingest.RejectUnknownKey
	}
	return p, k, nil
}

// ByDSN authenticates by, or checks, the dsn of an envelope's header. A
// request that has credentials must agree with it in project id and key (400
// otherwise). One that has none takes them from it: 401 when it cannot be
// read, 403 when nobody here knows it. Only a tunnel looks at a project's
// aliases: an alias key, or an alias project id, names the project by itself
// unless the rest of the DSN names another one.
func (Auth) ByDSN(dir *ingest.Directory, h ingest.Head, p *ingest.Project, k *ingest.Key, dsn string) (*ingest.Project, *ingest.Key, error) {
	d, err := schemas.ParseDSN(dsn)
	switch {
	case err != nil && p != nil:
		return nil, nil, ingest.RejectEnvelope.Because("invalid dsn in envelope header").With(err)
	case err != nil:
		return nil, nil, ingest.RejectBadEnvelopeAuth.With(err)
	case p != nil:
		return p, k, agree(p, k, d)
	}
	if h.HasProject {
		if id, err := strconv.ParseUint(h.Project, 10, 64); err != nil || !sameID(d.ProjectID, id) {
			return nil, nil, ingest.RejectEnvelope.Because("project id header mismatch")
		}
	}
	if h.Mode == ingest.AuthTunnel {
		if p, k := byAlias(dir, d); p != nil {
			return p, k, nil
		}
	}
	if !wellFormed(d.PublicKey) {
		return nil, nil, ingest.RejectBadKey
	}
	p, k = byKey(dir, d.PublicKey)
	if p == nil || !sameID(d.ProjectID, p.ID) {
		return nil, nil, ingest.RejectUnknownKey
	}
	return p, k, nil
}

// agree compares an envelope's dsn with what the request authenticated as.
func agree(p *ingest.Project, k *ingest.Key, d schemas.DSN) error {
	if !sameID(d.ProjectID, p.ID) {
		return ingest.RejectEnvelope.Because("project id header mismatch")
	}
	if k != nil && !strings.EqualFold(k.Public, d.PublicKey) {
		return ingest.RejectEnvelope.Because("public key header mismatch")
	}
	return nil
}

// byAlias finds the project that lists the DSN's key or project id as its own.
func byAlias(dir *ingest.Directory, d schemas.DSN) (*ingest.Project, *ingest.Key) {
	p := dir.ByAlias(d.PublicKey)
	if p != nil {
		if other := named(dir, d.ProjectID); other != nil && other != p {
			return nil, nil
		}
		return p, &ingest.Key{Public: d.PublicKey, Name: "alias"}
	}
	if p = dir.ByAlias(d.ProjectID); p == nil {
		return nil, nil
	}
	if owner, k := byKey(dir, d.PublicKey); owner != nil {
		if owner != p {
			return nil, nil
		}
		return p, k
	}
	// The key is a stranger's word: it must not become a name we keep.
	if len(p.Keys) > 0 {
		return p, &p.Keys[0]
	}
	return p, nil
}

// named is the project that an id stands for, by itself or as an alias.
func named(dir *ingest.Directory, id string) *ingest.Project {
	if n, err := strconv.ParseUint(id, 10, 64); err == nil {
		if p := dir.ByID(n); p != nil {
			return p
		}
	}
	return dir.ByAlias(id)
}

func byKey(dir *ingest.Directory, key string) (*ingest.Project, *ingest.Key) {
	if p, k := dir.ByKey(key); p != nil {
		return p, k
	}
	return dir.ByKey(strings.ToLower(key))
}

func projectID(h ingest.Head) (uint64, error) {
	if !h.HasProject {
		return 0, nil
	}
	id, err := strconv.ParseUint(h.Project, 10, 64)
	if err != nil || h.Project[0] == '+' {
		return 0, ingest.RejectBadProject
	}
	return id, nil
}

func sameID(s string, id uint64) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && n == id
}

// checkVersion refuses protocol versions that nobody speaks; none means 7.
func checkVersion(v string) error {
	if v == "" {
		return nil
	}
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil {
		return ingest.RejectBadAuth
	}
	if n > maxVersion {
		r := *ingest.RejectVersion
		r.Detail = fmt.Sprintf("%s (%d)", r.Detail, n)
		return &r
	}
	return nil
}

// credentials collects what the head offers; more than one set is an error.
func credentials(h ingest.Head) (claim, bool, error) {
	switch h.Mode {
	case ingest.AuthTunnel:
		return claim{}, false, nil
	case ingest.AuthKey:
		return plainKey(h)
	case ingest.AuthAny:
		return anyCredentials(h)
	}
	return sentryCredentials(h.Header, h.Query, h.Key)
}

// sentryCredentials looks in Relay's order: X-Sentry-Auth, Authorization, the
// query, the path. A query counts when it holds a sentry_key. Basic
// credentials whose user is no key belong to a password in front of the site:
// they count only when there is nothing else.
func sentryCredentials(header http.Header, query map[string][]string, pathKey string) (c claim, found bool, err error) {
	add := func(next claim) {
		if found {
			err = ingest.RejectMultipleAuth
		}
		c, found = next, true
	}
	for _, name := range [...]string{"X-Sentry-Auth", "Authorization"} {
		next, ok, bad := parseSentry(header.Get(name))
		if bad != nil {
			return claim{}, false, bad
		}
		if ok {
			add(next)
		}
	}
	if keys := query["sentry_key"]; len(keys) > 0 {
		next := claim{key: keys[0]}
		if v := query["sentry_version"]; len(v) > 0 {
			next.version = v[0]
		}
		add(next)
	}
	if pathKey != "" {
		add(claim{key: pathKey})
	}
	if basic, ok := parseBasic(header.Get("Authorization")); ok && (!found || wellFormed(basic.key)) {
		add(basic)
	}
	return c, found, err
}

// anyCredentials takes what Sentry's protocol knows and what our own endpoints
// know; the same key from both is one key.
func anyCredentials(h ingest.Head) (claim, bool, error) {
	c, found, err := sentryCredentials(h.Header, h.Query, h.Key)
	if err != nil {
		return c, found, err
	}
	plain, also, err := plainKey(h)
	switch {
	case err != nil || !also:
		return c, found, err
	case found && plain.key != c.key:
		return c, true, ingest.RejectMultipleAuth
	case found:
		return c, true, nil
	}
	return plain, true, nil
}

// plainKey reads the key of our own endpoints; the same key in several places
// is one key.
func plainKey(h ingest.Head) (c claim, found bool, err error) {
	add := func(values []string) {
		for _, v := range values {
			if v == "" {
				continue
			}
			if found && v != c.key {
				err = ingest.RejectMultipleAuth
			}
			c.key, found = v, true
		}
	}
	add(h.Query["key"])
	add(h.Query["sentry_key"])
	add(h.Header["X-Breakwater-Key"])
	add(h.Header["X-Api-Key"])
	return c, found, err
}
