package storm

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormal(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"plain words stay", "plain words stay"},
		{"Cannot read properties of undefined (reading 'price')", "Cannot read properties of undefined (reading <str>)"},
		{`null is not an object (evaluating "a.b.c")`, "null is not an object (evaluating <str>)"},
		{"Can't find variable: ZiteReader", "Can't find variable: ZiteReader"},
		{"the user's cart isn't there", "the user's cart isn't there"},
		{"timeout of 5000ms exceeded", "timeout of <n>ms exceeded"},
		{"took 1.5s, 1,234 rows, -3 left", "took <n>s, <n> rows, -<n> left"},
		{"Minified React error #418; visit https://react.dev/errors/418?args[]=a for the full message", "Minified React error #<n>; visit <url> for the full message"},
		{"GET https://api.example/v1/users/42. failed", "GET <url>. failed"},
		{"(http://localhost:3000/a.js:1:2)", "(<url>)"},
		{"order 3f2504e0-4f89-11d3-9a0c-0305e82c3301 not found", "order <uuid> not found"},
		{"at 0xDEADbeef, commit 9fceb02a1", "at <hex>, commit <hex>"},
		{"deadbeef is a word without a digit", "deadbeef is a word without a digit"},
		{"mail to a.b+c@example.co.uk.", "mail to <email>."},
		{"user@host is no address", "user@host is no address"},
		{"v2beta3", "v<n>beta<n>"},
		{"192.168.0.1:8080", "<n>:<n>"},
		{"two\n  lines\tand tabs ", "two lines and tabs"},
		{"unclosed 'quote goes on", "unclosed 'quote goes on"},
		{"data:image/png;base64,AAAA and blob:https://x/1", "<url> and <url>"},
		{"Fehler 12 für Käse №7", "Fehler <n> für Käse №<n>"},
		{"Invalid JSON `{\"a\":1}` at 5", "Invalid JSON <str> at <n>"},
	} {
		if got := Normal(tc.in); got != tc.want {
			t.Errorf("%q:\ngot  %q\nwant %q", tc.in, got, tc.want)
		}
	}
}

func TestNormalIsBounded(t *testing.T) {
	a := Normal(strings.Repeat("é", 5000))
	if len(a) > maxValue || !utf8.ValidString(a) {
		t.Errorf("%d bytes, valid %v", len(a), utf8.ValidString(a))
	}
}

func FuzzNormal(f *testing.F) {
	for _, s := range []string{"a 'b' 1", "http://", "x@y.", "://", "data:", "0x", "\xff\xfe1", "''''", "1.,2", "https://a.b/c.", "::::://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := Normal(s)
		if len(n) > 3*maxValue {
			t.Errorf("%d bytes", len(n))
		}
		if strings.ContainsAny(n, "0123456789") {
			t.Errorf("%q kept a number: %q", s, n)
		}
		if utf8.ValidString(s) && !utf8.ValidString(n) {
			t.Errorf("%q became invalid: %q", s, n)
		}
	})
}

func TestFile(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"https://cdn.example/assets/index-BxT3k9aQ.js?v=2", "/assets/index.js"},
		{"https://other.example/assets/index-Q0zz81Lk.js", "/assets/index.js"},
		{"http://127.0.0.1:21001/static/js/main.8d3a5b21.chunk.js#x", "/static/js/main.chunk.js"},
		{"https://x/static/js/main.8d3a5b21c0ffee99.js", "/static/js/main.js"},
		{"https://x/_next/static/chunks/pages/_app-63a8b1c2d3e4f506.js", "/_next/static/chunks/pages/_app.js"},
		{"http://127.0.0.1:21001/assets/error-storm-L-5hK172.js", "/assets/error-storm.js"},
		{"https://x/assets/vendor-DxKfRtQp.js", "/assets/vendor.js"},
		{"app:///index.android.bundle", "/index.android.bundle"},
		{"src/components/ProductDetail.tsx", "src/components/ProductDetail.tsx"},
		{"src/components/order-UserProfile.tsx", "src/components/order-UserProfile.tsx"},
		{"./node_modules/react-dom/cjs/react-dom.production.min.js", "./node_modules/react-dom/cjs/react-dom.production.min.js"},
		{"webpack-internal:///./src/App.js", "/./src/App.js"},
		{"https://example.com", "/"},
		{"<anonymous>", "<anonymous>"},
		{"bundle_20260310.js", "bundle.js"},
		{"", ""},
	} {
		if got := File(tc.in); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.in, got, tc.want)
		}
	}
}
