package vitals

import (
	"strings"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Bounds of a route label: longer paths are cut, not refused.
const (
	maxRoute            = 160 // bytes
	maxSegments         = 8
	maxTemplateSegments = 32
	maxSegment          = 48 // bytes of one segment; longer ones are ids
	maxPath             = 2048
)

// UnknownRoute is the route of measurements that name no page.
const UnknownRoute = "__unknown__"

// router finds the template of a path: the project's own templates first,
// then built-in folding. It does not change after it was made.
type router struct {
	root  node
	named *memo[string]
}

// node is one segment of the templates' trie. A fixed segment is preferred to
// a parameter, a parameter to a wildcard, as routers in browsers do.
type node struct {
	fixed    map[string]*node
	param    *node
	template string // of a path that ends here
	wildcard string // of a path that goes on in any way
}

func newRouter(templates []string) *router {
	r := &router{named: newMemo[string](256)}
	for _, t := range templates {
		r.add(t)
	}
	return r
}

func (r *router) add(template string) {
	n := &r.root
	for _, s := range splitPath(template) {
		switch {
		case s == "*":
			if n.wildcard == "" {
				n.wildcard = template
			}
			return
		case isParam(s):
			if n.param == nil {
				n.param = &node{}
			}
			n = n.param
		default:
			if n.fixed == nil {
				n.fixed = map[string]*node{}
			}
			if n.fixed[s] == nil {
				n.fixed[s] = &node{}
			}
			n = n.fixed[s]
		}
	}
	if n.template == "" {
		n.template = template
	}
}

// find returns the best template for the segments, "" for none.
func (n *node) find(segments []string) string {
	if len(segments) == 0 {
		if n.template != "" {
			return n.template
		}
		return n.wildcard
	}
	if next := n.fixed[segments[0]]; next != nil {
		if t := next.find(segments[1:]); t != "" {
			return t
		}
	}
	if n.param != nil {
		if t := n.param.find(segments[1:]); t != "" {
			return t
		}
	}
	return n.wildcard
}

// route is the label of what a client called its page: a route of its own
// router, a URL or a path. The same page always gives the same label.
func (r *router) route(s string) string {
	path := pathOf(s)
	if path == "" {
		return UnknownRoute
	}
	if path[0] != '/' {
		return foldName(path) // the name of a screen or of a transaction
	}
	var space [maxTemplateSegments]string
	segments := split(path, space[:0])
	if len(segments) < maxTemplateSegments {
		if t := r.root.find(segments); t != "" {
			return t
		}
	}
	return foldSegments(segments)
}

// name is the label of a client's own name of its page, as route: there are far
// fewer of them than URLs, so they are remembered.
func (r *router) name(s string) string {
	if len(s) > 2*maxRoute {
		return r.route(s)
	}
	return r.named.of(s, r.route)
}

// Route is the label of the page that an entry of a beacon was measured on, as
// the histograms choose it, "" when the beacon names none.
func (v *Vitals) Route(project string, b *schemas.Beacon, e *schemas.Vital) string {
	page, measured := pathOf(b.URL), pathOf(e.NavigationURL)
	if named := b.Route; named != "" && (measured == "" || page == "" || page == measured) {
		page = named
	} else if measured != "" {
		page = measured
	}
	if page == "" {
		return ""
	}
	return v.project(project).settings.Load().router.route(page)
}

// pathOf takes scheme, host, query, fragment and path parameters off a URL.
func pathOf(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	if i := strings.Index(s, "://"); i > 0 && i < 16 && !strings.ContainsAny(s[:i], "/ ") {
		s = s[i+3:]
		if i = strings.IndexByte(s, '/'); i < 0 {
			return "/"
		}
		s = s[i:]
	} else if strings.HasPrefix(s, "//") {
		s = "/" + strings.TrimLeft(s, "/")
	}
	if len(s) > maxPath {
		s = s[:maxPath]
	}
	return s
}

func splitPath(path string) []string { return split(path, nil) }

// split cuts a path at its slashes; empty segments and "." are left out.
func split(path string, into []string) []string {
	for len(path) > 0 && len(into) < maxTemplateSegments {
		var s string
		s, path, _ = strings.Cut(path, "/")
		if s != "" && s != "." {
			into = append(into, s)
		}
	}
	return into
}

// isParam tells whether a segment is a parameter in one of the spellings of
// common routers: :id, {id}, [id], <id>, $id.
func isParam(s string) bool {
	if len(s) < 2 || len(s) > 40 {
		return false
	}
	name := s[1:]
	switch s[0] {
	case ':':
		name = strings.TrimRight(name, "?*+")
	case '$':
	case '{', '[', '<':
		if s[len(s)-1] != closing[s[0]] {
			return false
		}
		name = strings.TrimSuffix(strings.TrimPrefix(strings.Trim(name, "[]{}<>"), "..."), "?")
	default:
		return false
	}
	return isWord(name)
}

var closing = map[byte]byte{'{': '}', '[': ']', '<': '>'}

// isWord tells whether s could be the name of a parameter.
func isWord(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// finish makes folded text a label.
func finish(s string) string {
	if s == "" {
		return UnknownRoute
	}
	return ingest.CleanLabel(s, maxRoute)
}
