package auth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"breakwater/ingest"
)

const (
	keyA    = "0123456789abcdef0123456789abcdef"
	keyB    = "fedcba9876543210fedcba9876543210"
	alias   = "cccccccccccccccccccccccccccccccc"
	unknown = "99999999999999999999999999999999"
)

func directory() *ingest.Directory {
	return ingest.NewDirectory([]*ingest.Project{
		{ID: 1, Name: "a", Keys: []ingest.Key{{Public: keyA}}, Aliases: []string{alias, "4507000000000001"}},
		{ID: 2, Name: "b", Keys: []ingest.Key{{Public: keyB}}},
		{ID: 3, Name: "keyless", Aliases: []string{"4507000000000003"}},
	})
}

func basic(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAuthenticate(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    ingest.AuthMode
		xsa     string // X-Sentry-Auth
		authz   string
		query   string
		path    string // key in the path
		project string
		want    string // project
		err     *ingest.Rejection
	}{
		{name: "header", xsa: "Sentry sentry_version=7, sentry_key=" + keyA + ", sentry_client=a/1.0 (x; y)", project: "1", want: "a"},
		{name: "header without blanks", xsa: "Sentry sentry_version=7,sentry_client=sentry.cocoa/9.1,sentry_key=" + keyA, project: "1", want: "a"},
		{name: "scheme in any case", xsa: "sEnTrY sentry_key=" + keyA, project: "1", want: "a"},
		{name: "trailing comma", xsa: "Sentry sentry_key=" + keyA + ",", project: "1", want: "a"},
		{name: "quotes", xsa: `Sentry sentry_key="` + keyA + `", sentry_version="7"`, project: "1", want: "a"},
		{name: "unknown fields", xsa: "Sentry foo=bar, sentry_secret=s3cret, sentry_timestamp=1, sentry_key=" + keyA, project: "1", want: "a"},
		{name: "tabs", xsa: "Sentry\tsentry_key=" + keyA + "\t,\tsentry_version=7", project: "1", want: "a"},
		{name: "upper-case key", xsa: "Sentry sentry_key=" + strings.ToUpper(keyA), project: "1", want: "a"},
		{name: "no key", xsa: "Sentry sentry_version=7", project: "1", err: ingest.RejectBadAuth},
		{name: "scheme alone", xsa: "Sentry", project: "1", err: ingest.RejectBadAuth},
		{name: "empty key", xsa: "Sentry sentry_key=", project: "1", err: ingest.RejectBadAuth},
		{name: "other scheme is ignored", xsa: "Bearer abc", query: "sentry_key=" + keyA, project: "1", want: "a"},
		{name: "scheme that only begins alike", xsa: "Sentryx sentry_key=" + keyB, query: "sentry_key=" + keyA, project: "1", want: "a"},
		{name: "empty header", xsa: " ", query: "sentry_key=" + keyA, project: "1", want: "a"},
		{name: "authorization", authz: "Sentry sentry_key=" + keyA, project: "1", want: "a"},
		{name: "bearer is ignored", authz: "Bearer abc", query: "sentry_key=" + keyA, project: "1", want: "a"},
		{name: "basic", authz: basic(keyA + ":whatever"), project: "1", want: "a"},
		{name: "basic without colon", authz: basic(keyA), project: "1", want: "a"},
		{name: "basic with no key", authz: basic("staff:pass"), project: "1", err: ingest.RejectBadKey},
		{name: "basic of the site and a key", authz: basic("staff:pass"), query: "sentry_key=" + keyA, project: "1", want: "a"},
		{name: "basic of a key and a key", authz: basic(keyB + ":"), query: "sentry_key=" + keyA, project: "1", err: ingest.RejectMultipleAuth},
		{name: "broken basic", authz: "Basic %%%", project: "1", err: ingest.RejectNoAuth},
		{name: "query", query: "sentry_key=" + keyA + "&sentry_version=7&sentry_client=a%2F1", project: "1", want: "a"},
		{name: "query without key", query: "sentry_version=7", project: "1", err: ingest.RejectNoAuth},
		{name: "query of a release beside a header", xsa: "Sentry sentry_key=" + keyA, query: "sentry_release=1", project: "1", want: "a"},
		{name: "path", path: keyA, project: "1", want: "a"},
		{name: "path and query", path: keyA, query: "sentry_key=" + keyA, project: "1", err: ingest.RejectMultipleAuth},
		{name: "header and query", xsa: "Sentry sentry_key=" + keyA, query: "sentry_key=" + keyA, project: "1", err: ingest.RejectMultipleAuth},
		{name: "nothing", project: "1", err: ingest.RejectNoAuth},
		{name: "nothing at the envelope", mode: ingest.AuthEnvelope, project: "1"},
		{name: "tunnel looks at nothing", mode: ingest.AuthTunnel, xsa: "Sentry sentry_key=" + keyA, query: "sentry_key=x"},
		{name: "version 8", query: "sentry_version=8&sentry_key=" + keyA, project: "1", want: "a"},
		{name: "version 9", query: "sentry_version=9&sentry_key=" + keyA, project: "1", err: ingest.RejectVersion},
		{name: "version seven", query: "sentry_version=seven&sentry_key=" + keyA, project: "1", err: ingest.RejectBadAuth},
		{name: "version is too wide", query: "sentry_version=70000&sentry_key=" + keyA, project: "1", err: ingest.RejectBadAuth},
		{name: "project in words", query: "sentry_key=" + keyA, project: "one", err: ingest.RejectBadProject},
		{name: "project with a sign", query: "sentry_key=" + keyA, project: "+1", err: ingest.RejectBadProject},
		{name: "other project", query: "sentry_key=" + keyA, project: "2", err: ingest.RejectUnknownKey},
		{name: "unknown key", query: "sentry_key=" + unknown, project: "1", err: ingest.RejectUnknownKey},
		{name: "alias is no key", query: "sentry_key=" + alias, project: "1", err: ingest.RejectUnknownKey},
		{name: "31 digits", query: "sentry_key=" + keyA[:31], project: "1", err: ingest.RejectBadKey},
		{name: "no project in the path", query: "sentry_key=" + keyB, want: "b"},
		{name: "plain: key", mode: ingest.AuthKey, query: "key=" + keyA, project: "1", want: "a"},
		{name: "plain: sentry_key", mode: ingest.AuthKey, query: "sentry_key=" + keyA, project: "1", want: "a"},
		{name: "plain: the same twice", mode: ingest.AuthKey, query: "sentry_key=" + keyA + "&key=" + keyA, project: "1", want: "a"},
		{name: "plain: two keys", mode: ingest.AuthKey, query: "sentry_key=" + keyA + "&key=" + keyB, project: "1", err: ingest.RejectMultipleAuth},
		{name: "plain: empty is none", mode: ingest.AuthKey, query: "key=&sentry_key=" + keyA, project: "1", want: "a"},
		{name: "plain: Sentry's header means nothing", mode: ingest.AuthKey, xsa: "Sentry sentry_key=" + keyA, project: "1", err: ingest.RejectNoAuth},
		{name: "plain: bad key", mode: ingest.AuthKey, query: "key=abc", project: "1", err: ingest.RejectBadKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := ingest.Head{Mode: c.mode, Header: http.Header{}, Key: c.path, Project: c.project, HasProject: c.project != ""}
			if c.xsa != "" {
				h.Header.Set("X-Sentry-Auth", c.xsa)
			}
			if c.authz != "" {
				h.Header.Set("Authorization", c.authz)
			}
			h.Query, _ = url.ParseQuery(c.query)
			p, k, err := Auth{}.Authenticate(directory(), h)
			expect(t, p, k, err, c.want, c.err)
		})
	}
}

func expect(t *testing.T, p *ingest.Project, k *ingest.Key, err error, want string, rej *ingest.Rejection) {
	t.Helper()
	if rej != nil {
		var got *ingest.Rejection
		if !errors.As(err, &got) || got.Status != rej.Status || got.Reason != rej.Reason || !strings.HasPrefix(got.Detail, rej.Detail) {
			t.Errorf("error %v, want %v", err, rej)
		}
		if p != nil || k != nil {
			t.Errorf("a project with an error: %v", p)
		}
		return
	}
	if err != nil {
		t.Fatalf("error %v", err)
	}
	got := ""
	if p != nil {
		got = p.Name
	}
	if got != want {
		t.Errorf("project %q, want %q", got, want)
	}
}

func TestByDSN(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    ingest.AuthMode
		project string // of the path
		dsn     string
		want    string
		key     string
		err     *ingest.Rejection
	}{
		{"envelope", ingest.AuthEnvelope, "1", "https://" + keyA + "@h.example/1", "a", keyA, nil},
		{"host and prefix do not matter", ingest.AuthEnvelope, "1", "http://" + keyA + ":secret@[::1]:9000/sentry/1", "a", keyA, nil},
		{"envelope of another project", ingest.AuthEnvelope, "2", "https://" + keyA + "@h.example/1", "", "", ingest.RejectEnvelope},
		{"key of another project", ingest.AuthEnvelope, "2", "https://" + keyA + "@h.example/2", "", "", ingest.RejectUnknownKey},
		{"aliases are for tunnels", ingest.AuthEnvelope, "1", "https://" + alias + "@h.example/1", "", "", ingest.RejectUnknownKey},
		{"not a DSN", ingest.AuthEnvelope, "1", "h.example/1", "", "", ingest.RejectBadEnvelopeAuth},
		{"short key", ingest.AuthEnvelope, "1", "https://abc@h.example/1", "", "", ingest.RejectBadKey},
		{"tunnel", ingest.AuthTunnel, "", "https://" + keyB + "@h.example/2", "b", keyB, nil},
		{"tunnel, wrong project", ingest.AuthTunnel, "", "https://" + keyB + "@h.example/1", "", "", ingest.RejectUnknownKey},
		{"tunnel, unknown", ingest.AuthTunnel, "", "https://" + unknown + "@o1.ingest.example/7", "", "", ingest.RejectUnknownKey},
		{"alias key", ingest.AuthTunnel, "", "https://" + alias + "@o1.ingest.example/4507000000000001", "a", alias, nil},
		{"alias key, unlisted project", ingest.AuthTunnel, "", "https://" + alias + "@o1.ingest.example/777", "a", alias, nil},
		{"alias key, somebody else's project", ingest.AuthTunnel, "", "https://" + alias + "@o1.ingest.example/2", "", "", ingest.RejectUnknownKey},
		{"alias key, somebody else's alias", ingest.AuthTunnel, "", "https://" + alias + "@o1.ingest.example/4507000000000003", "", "", ingest.RejectUnknownKey},
		{"alias project, unknown key", ingest.AuthTunnel, "", "https://" + unknown + "@o1.ingest.example/4507000000000001", "a", keyA, nil},
		{"alias project, own key", ingest.AuthTunnel, "", "https://" + keyA + "@o1.ingest.example/4507000000000001", "a", keyA, nil},
		{"alias project, somebody else's key", ingest.AuthTunnel, "", "https://" + keyB + "@o1.ingest.example/4507000000000001", "", "", ingest.RejectUnknownKey},
		{"alias project without keys", ingest.AuthTunnel, "", "https://" + unknown + "@o1.ingest.example/4507000000000003", "keyless", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := ingest.Head{Mode: c.mode, Project: c.project, HasProject: c.project != ""}
			p, k, err := Auth{}.ByDSN(directory(), h, nil, nil, c.dsn)
			expect(t, p, k, err, c.want, c.err)
			if k != nil && k.Public != c.key || k == nil && c.key != "" {
				t.Errorf("key %v, want %s", k, c.key)
			}
		})
	}
	t.Run("beside credentials", func(t *testing.T) {
		p := directory().ByID(1)
		for dsn, ok := range map[string]bool{
			"https://" + keyA + "@other.host/1":                     true,
			"https://" + strings.ToUpper(keyA) + "@other.host/01":   true,
			"https://" + keyA + "@other.host/2":                     false,
			"https://" + keyB + "@other.host/1":                     false,
			"nonsense":                                              false,
			"https://" + alias + "@other.host/1":                    false,
			"https://" + keyA + "@other.host/18446744073709551617/": false,
		} {
			_, _, err := Auth{}.ByDSN(directory(), ingest.Head{Mode: ingest.AuthEnvelope}, p, &p.Keys[0], dsn)
			if ok != (err == nil) {
				t.Errorf("%s: %v", dsn, err)
			}
			var rej *ingest.Rejection
			if err != nil && (!errors.As(err, &rej) || rej.Status != 400 || len(rej.Causes) == 0) {
				t.Errorf("%s: %v", dsn, err)
			}
		}
	})
}

func FuzzSentryHeader(f *testing.F) {
	for _, s := range []string{"", "Sentry", "Sentry sentry_key=" + keyA, "sentry a=b,,=,sentry_key", `Sentry sentry_key="`, "Sentry\x00sentry_key=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, ok, err := parseSentry(header)
		if err == nil && ok == (c.key == "") {
			t.Errorf("%q: key %q, found %v", header, c.key, ok)
		}
		if strings.ContainsAny(c.key, ",") {
			t.Errorf("%q: key %q holds a separator", header, c.key)
		}
		h := ingest.Head{Header: http.Header{"X-Sentry-Auth": {header}, "Authorization": {header}}}
		if p, _, err := (Auth{}).Authenticate(directory(), h); (p == nil) == (err == nil) {
			t.Errorf("%q: project %v, error %v", header, p, err)
		}
		parseBasic(header)
	})
}
