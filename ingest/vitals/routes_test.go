package vitals

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRoutesFoldWhatIsNotConfigured(t *testing.T) {
	r := newRouter(nil)
	for _, c := range []struct{ name, in, want string }{
		{"root", "https://shop.example", "/"},
		{"root with slash", "https://shop.example/?utm=1#top", "/"},
		{"plain", "/about/team", "/about/team"},
		{"trailing slash", "/about/team/", "/about/team"},
		{"double slash", "//about///team", "/about/team"},
		{"query and fragment", "/search?q=a/b#c", "/search"},
		{"number", "/product/42", "/product/:id"},
		{"numbers", "/user/42/orders/7", "/user/:id/orders/:id"},
		{"uuid", "/o/3fa85f64-5717-4562-b3fc-2c963f66afa6", "/o/:id"},
		{"uuid upper", "/o/3FA85F64-5717-4562-B3FC-2C963F66AFA6/edit", "/o/:id/edit"},
		{"ulid", "/o/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/o/:id"},
		{"hex 8", "/c/9fceb02d", "/c/:id"},
		{"object id", "/c/507f1f77bcf86cd799439011", "/c/:id"},
		{"sha without digits", "/c/deadbeefcafe", "/c/:id"},
		{"base64-like", "/s/dQw4w9WgXcQ", "/s/:id"},
		{"nanoid", "/s/V1StGXR8_Z5jdHi6B-myT", "/s/:id"},
		{"order code", "/orders/A1B2C3D4E5", "/orders/:id"},
		{"date", "/blog/2026-11-23/launch", "/blog/:date/launch"},
		{"month", "/archive/2026-11", "/archive/:date"},
		{"date in segments", "/2026/11/23", "/:id/:id/:id"},
		{"locale", "/en/pricing", "/:locale/pricing"},
		{"locale with region", "/de-AT/preise", "/:locale/preise"},
		{"script", "/zh-Hant-TW/", "/:locale"},
		{"not a locale", "/my/orders", "/my/orders"},
		{"locale only in front", "/docs/en", "/docs/en"},
		{"file hash", "/assets/main.4f3a2b1c.js", "/assets/main.:hash.js"},
		{"file with id", "/img/1234.png", "/img/:id.png"},
		{"file", "/vitals.html", "/vitals.html"},
		{"slug with number", "/p/order-12345", "/p/order-:id"},
		{"word with number", "/p/user4711", "/p/user:id"},
		{"slug", "/p/red-canvas-shoes", "/p/red-canvas-shoes"},
		{"version stays", "/api/v2/mp3", "/api/v2/mp3"},
		{"percent", "/caf%C3%A9", "/caf\u00e9"},
		{"percent slash", "/a/b%2Fc", "/a/:id"},
		{"percent broken", "/a/%zz", "/a/:id"},
		{"e-mail", "/u/ida@example.com", "/u/:id"},
		{"session id", "/cart;jsessionid=AF12", "/cart"},
		{"template of a router", "/product/[slug]/{id}/$x/*", "/product/[slug]/{id}/$x/*"},
		{"too many segments", "/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/*"},
		{"long segment", "/a/" + strings.Repeat("word-", 20), "/a/:id"},
		{"control characters", "/a/b\nc", "/a/:id"},
		{"screen", "ProductScreen", "ProductScreen"},
		{"screen with id", "Order 12345", "Order :id"},
		{"nothing", " ", UnknownRoute},
		{"only a query", "?a=b", UnknownRoute},
		{"camel case", "/getStarted/UserSettings", "/getStarted/UserSettings"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := r.route(c.in); got != c.want {
				t.Errorf("route(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestRoutesConfiguredComeFirst(t *testing.T) {
	r := newRouter([]string{"/product/:id", "/product/new", "/user/:name/orders/:order", "/docs/*", "/:page"})
	for in, want := range map[string]string{
		"/product/red-shoes":          "/product/:id",
		"/product/new":                "/product/new",
		"/product/new/":               "/product/new",
		"https://x/user/ida/orders/9": "/user/:name/orders/:order",
		"/docs/a/b/c?x":               "/docs/*",
		"/docs":                       "/docs/*",
		"/pricing":                    "/:page",
		"/other/deep/42":              "/other/deep/:id",
	} {
		if got := r.route(in); got != want {
			t.Errorf("route(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestValidateRoute(t *testing.T) {
	for in, ok := range map[string]bool{
		"/product/:id": true, "/docs/*": true, "/": true,
		"product": false, "/a/*/b": false, "/a?x": false, "/" + strings.Repeat("a", 200): false, strings.Repeat("/a", 40): false,
	} {
		if err := ValidateRoute(in); (err == nil) != ok {
			t.Errorf("ValidateRoute(%q) = %v, want ok %t", in, err, ok)
		}
	}
}

func TestFoldingATemplateChangesNothing(t *testing.T) {
	r := newRouter(nil)
	for _, in := range []string{"/product/:id", "/:locale/blog/:date", "/assets/main.:hash.js", "/p/order-:id", "/a/b/c/d/e/f/g/h/*", "/img/:id.png"} {
		if got := r.route(in); got != in {
			t.Errorf("route(%q) = %q", in, got)
		}
	}
}

func FuzzRouteFolding(f *testing.F) {
	for _, s := range []string{"/product/42", "https://a.example/x?y#z", "/caf%C3%A9/%2525", "//;a=b/", "Order 12345", "/a/:id/..", "\xff/\x00", "/:a1/order-12345_99999-x", "/1.2.abcdef1.js"} {
		f.Add(s)
	}
	plain, own := newRouter(nil), newRouter([]string{"/product/:id", "/a/*"})
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range []*router{plain, own} {
			got := r.route(s)
			if got == "" || len(got) > maxRoute || !utf8.ValidString(got) || hasControl(got) {
				t.Fatalf("route(%q) = %q is no label", s, got)
			}
			if strings.ContainsAny(got, "?#") {
				t.Fatalf("route(%q) = %q keeps a query", s, got)
			}
			if again := r.route(strings.Clone(s)); again != got {
				t.Fatalf("route(%q) = %q, and then %q", s, got, again)
			}
		}
	})
}

// A client's own names are remembered, and each is what it would be without.
func TestNamesAreWhatRoutesAre(t *testing.T) {
	r := newRouter([]string{"/product/:id", "/docs/*"})
	for range 3 {
		for i := range 2000 {
			for _, format := range []string{"/product/%d", "/product/:id%d", "/docs/a/%d", "/user-%d/:id", "Screen %d", "/long" + strings.Repeat("/x", i%300) + "/%d"} {
				name := fmt.Sprintf(format, i)
				if got, want := r.name(name), r.route(name); got != want {
					t.Fatalf("%q is %q, want %q", name, got, want)
				}
			}
		}
	}
	for i := range r.named.places {
		if kept := r.named.places[i].Load(); kept != nil && len(kept.text) > 2*maxRoute {
			t.Fatalf("%d bytes of a name kept", len(kept.text))
		}
	}
}
