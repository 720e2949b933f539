package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseDSN(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	for name, tc := range map[string]struct {
		in   string
		want DSN
		url  string
		text string
		org  string
	}{
		"hosted": {
			in:   "https://" + key + "@o447951.ingest.us.sentry.io/5429219",
			want: DSN{Scheme: "https", PublicKey: key, Host: "o447951.ingest.us.sentry.io", ProjectID: "5429219"},
			url:  "https://o447951.ingest.us.sentry.io/api/5429219/envelope/", org: "447951",
		},
		"self-hosted below a prefix, with port and secret": {
			in:   "http://" + key + ":s3cr3t@errors.example:9000/tools/sentry/42",
			want: DSN{Scheme: "http", PublicKey: key, Secret: "s3cr3t", Host: "errors.example:9000", Path: "/tools/sentry", ProjectID: "42"},
			url:  "http://errors.example:9000/tools/sentry/api/42/envelope/",
			text: "http://" + key + "@errors.example:9000/tools/sentry/42",
		},
		"IPv6": {
			in:   "http://" + key + "@[::1]:8080/1",
			want: DSN{Scheme: "http", PublicKey: key, Host: "[::1]:8080", ProjectID: "1"},
			url:  "http://[::1]:8080/api/1/envelope/",
		},
		"IPv6 with a zone": {
			in:   "http://" + key + "@[fe80::1%25eth0]/1",
			want: DSN{Scheme: "http", PublicKey: key, Host: "[fe80::1%eth0]", ProjectID: "1"},
			url:  "http://[fe80::1%25eth0]/api/1/envelope/",
		},
		"IPv4, upper-case scheme, spaces around": {
			in:   "  HTTP://" + key + "@127.0.0.1/7\n",
			want: DSN{Scheme: "http", PublicKey: key, Host: "127.0.0.1", ProjectID: "7"},
			url:  "http://127.0.0.1/api/7/envelope/", text: "http://" + key + "@127.0.0.1/7",
		},
		"trailing slash, query and fragment": {
			in:   "https://" + key + "@h.example/a/1/?timeout=5#x",
			want: DSN{Scheme: "https", PublicKey: key, Host: "h.example", Path: "/a", ProjectID: "1"},
			url:  "https://h.example/a/api/1/envelope/", text: "https://" + key + "@h.example/a/1",
		},
		"a key and a project that are words": {
			in:   "https://my_key@h.example/shop-web",
			want: DSN{Scheme: "https", PublicKey: "my_key", Host: "h.example", ProjectID: "shop-web"},
			url:  "https://h.example/api/shop-web/envelope/",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseDSN(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %+v, secret %q; want %+v", got, got.Secret, tc.want)
			}
			if got.EnvelopeURL() != tc.url {
				t.Errorf("EnvelopeURL %q, want %q", got.EnvelopeURL(), tc.url)
			}
			want := tc.text
			if want == "" {
				want = tc.in
			}
			if got.String() != want {
				t.Errorf("String %q, want %q", got.String(), want)
			}
			if got.Org() != tc.org {
				t.Errorf("Org %q, want %q", got.Org(), tc.org)
			}
		})
	}
}

func TestParseDSNRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want error
	}{
		"empty":                {"", ErrDSNScheme},
		"another scheme":       {"ftp://SECRETKEY@h/1", ErrDSNScheme},
		"no scheme":            {"SECRETKEY@h/1", ErrDSNScheme},
		"opaque":               {"https:SECRETKEY", ErrDSNSyntax},
		"control character":    {"https://SECRETKEY:SECRETPASS@h\x7f/1", ErrDSNSyntax},
		"broken escape":        {"https://SECRETKEY:SECRETPASS@h/%zz", ErrDSNSyntax},
		"no key":               {"https://h.example/1", ErrDSNKey},
		"empty key":            {"https://:SECRETPASS@h.example/1", ErrDSNKey},
		"key that breaks out":  {"https://SECRETKEY%0d%0aX:SECRETPASS@h.example/1", ErrDSNKey},
		"no host":              {"https://SECRETKEY@/1", ErrDSNHost},
		"port zero":            {"https://SECRETKEY@h:0/1", ErrDSNHost},
		"port too large":       {"https://SECRETKEY@h:65536/1", ErrDSNHost},
		"empty port":           {"https://SECRETKEY@h:/1", ErrDSNHost},
		"no IPv6 in brackets":  {"https://SECRETKEY@[h]/1", ErrDSNSyntax},
		"host with a comma":    {"https://SECRETKEY@h,i/1", ErrDSNHost},
		"no project":           {"https://SECRETKEY@h", ErrDSNProject},
		"slash and no project": {"https://SECRETKEY@h/", ErrDSNProject},
		"project with a dot":   {"https://SECRETKEY@h/a.b", ErrDSNProject},
		"dot segment":          {"https://SECRETKEY@h/a/../1", ErrDSNPath},
		"empty segment":        {"https://SECRETKEY@h/a//1", ErrDSNPath},
		"escaped slash":        {"https://SECRETKEY@h/a%2fb/1", ErrDSNPath},
		"too long":             {"https://SECRETKEY@h/" + strings.Repeat("a", MaxDSN), ErrDSNLong},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := ParseDSN(tc.in)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v and error %v, want %v", d, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error repeats the text: %v", err)
			}
		})
	}
}

func TestDSNHidesItsSecret(t *testing.T) {
	d, err := ParseDSN("https://key:HIDEME@h.example/1")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, _ := json.Marshal(map[string]any{"dsn": d, "pointer": &d})
	for _, s := range []string{
		d.String(), fmt.Sprint(d), fmt.Sprintf("%v %+v %#v %s %q", d, d, d, d, d), fmt.Sprintf("%v", []DSN{d}),
		fmt.Sprintf("%+v", struct{ D DSN }{d}), string(asJSON), d.EnvelopeURL(),
	} {
		if strings.Contains(s, "HIDEME") {
			t.Errorf("secret shown in %s", s)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	for _, s := range []string{
		"https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/1", "http://k:s@[::1]:80/a/b/2", "https://k@h/1?x#y", "http://k@[fe80::1%25lo]/1", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDSN(s)
		if err != nil {
			return
		}
		again, err := ParseDSN(d.String())
		if err != nil {
			t.Fatalf("%q printed as %q, which does not parse: %v", s, d, err)
		}
		d.Secret = ""
		if again != d {
			t.Fatalf("%q parsed to %#v, printed and parsed to %#v", s, d, again)
		}
	})
}
