package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/gobwas/glob"

	"breakwater/schemas"
)

// word is the rule of one validator tag for texts: nil, or why not and what
// to do.
type word func(s string) (reason, fix string)

func matches(pattern, reason, fix string) word {
	re := regexp.MustCompile(pattern)
	return func(s string) (string, string) {
		if re.MatchString(s) {
			return "", ""
		}
		return reason, fix
	}
}

// Patterns that the JSON Schema shares.
const (
	namePattern      = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`
	publicKeyPattern = `^[0-9a-f]{32}$`
	aliasPattern     = `^([0-9a-f]{32}|[1-9][0-9]{0,19})$`
	tunnelPattern    = `^/[A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*/?$`
	indexPattern     = `^[a-z0-9{][a-z0-9_.{}+-]{0,199}$`
	labelPattern     = `^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`
	headerPattern    = `^[A-Za-z0-9!#$%&'*+.^_|~-]{1,100}$`
	routePattern     = `^/$|^(/([^/:*?#\s]+|:[A-Za-z_][A-Za-z0-9_]*))*(/\*)?/?$`
	ruleNamePattern  = `^[A-Za-z0-9_-]{1,64}$`
	originPattern    = `^(\*|((https?|\*)://)?(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?(:[0-9]{1,5})?/?)$`
)

// patterns are the tags that are a pattern and nothing more.
var patterns = map[string]string{
	"name": namePattern, "publickey": publicKeyPattern, "alias": aliasPattern, "index": indexPattern,
	"labelname": labelPattern, "headername": headerPattern, "route": routePattern, "rulename": ruleNamePattern, "origin": originPattern, "tunnelpath": tunnelPattern,
}

// words are the tags this package adds to the validator for texts.
var words = map[string]word{
	"name":          matches(namePattern, "is not a name", "use up to 64 letters, digits, _ . and -, beginning with a letter or digit"),
	"publickey":     matches(publicKeyPattern, "is not a public key", "use 32 lower-case hexadecimal digits, for example from: openssl rand -hex 16"),
	"alias":         matches(aliasPattern, "is neither a public key nor a project id", "use 32 lower-case hexadecimal digits, or decimal digits"),
	"index":         matches(indexPattern, "is not the name of an index", "use lower-case letters, digits, _ . + and -; {project} stands for the project's name"),
	"labelname":     matches(labelPattern, "is not the name of a label", "use letters, digits and _, beginning with a letter"),
	"headername":    matches(headerPattern, "is not the name of a header", "use letters, digits and -"),
	"route":         routeWord,
	"rulename":      matches(ruleNamePattern, "is not the name of a rule", "use up to 64 letters, digits, _ and -"),
	"origin":        matches(originPattern, "is not an origin", "write *, example.com, *.example.com or https://example.com:8443"),
	"token":         matches(`^[!-~]*$`, "holds spaces or characters that a header cannot carry", "use letters, digits and signs, for example from: openssl rand -hex 32"),
	"listen":        listenWord,
	"hostport":      hostPortWord,
	"tunnelpath":    tunnelWord,
	"dsn":           dsnWord,
	"httpurl":       httpURLWord,
	"redisurl":      schemeWord("redis", "rediss"),
	"natsurl":       schemeWord("nats", "tls", "ws", "wss"),
	"release":       releaseWord,
	"environment":   environmentWord,
	"category":      categoryWord,
	"legacybrowser": listWord("browser", legacyBrowsers),
	"facility":      listWord("facility", facilities),
	"glob":          globWord,
	"ipcidr":        ipWord,
	"scrubpattern":  scrubPatternWord,
}

var (
	// legacyBrowsers are the names Sentry's filter knows: those with floors of
	// today first, then the older ones.
	legacyBrowsers = []string{
		"ie", "edge", "safari", "firefox", "chrome", "opera", "android", "opera_mini",
		"ie_pre_9", "ie9", "ie10", "ie11", "opera_pre_15", "opera_mini_pre_8", "android_pre_4", "safari_pre_6", "edge_pre_79", "default",
	}
	// facilities are those of RFC 5424 by their usual short names.
	facilities = []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
)

func listWord(what string, known []string) word {
	return func(s string) (string, string) {
		if slices.Contains(known, s) {
			return "", ""
		}
		return "is not a known " + what, suggest(s, known)
	}
}

func listenWord(s string) (string, string) {
	const fix = "write host:port, such as 127.0.0.1:8080, or :8080 for all addresses"
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "is not an address to listen on", fix
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return "has no port between 0 and 65535", fix
	}
	if strings.ContainsFunc(host, func(r rune) bool { return unicode.IsSpace(r) || r == '/' }) {
		return "is not an address to listen on", fix
	}
	return "", ""
}

func hostPortWord(s string) (string, string) {
	if reason, _ := listenWord(s); reason != "" || strings.HasPrefix(s, ":") || strings.HasSuffix(s, ":0") {
		return "is not the address of a server", "write host:port, such as logs.example.com:514"
	}
	return "", ""
}

var tunnelRe = regexp.MustCompile(tunnelPattern)

func tunnelWord(s string) (string, string) {
	if !tunnelRe.MatchString(s) || len(s) > 200 {
		return "is not a path for the tunnel", "write / and letters, digits, _ . ~ or -, such as /t or /js/collect"
	}
	first, _, _ := strings.Cut(s[1:], "/")
	if first == "api" || first == "schemas" || first == "." || first == ".." {
		return "collides with /" + first + ", which is taken", "choose another first part, such as /t"
	}
	return "", ""
}

var routeRe = regexp.MustCompile(routePattern)

func routeWord(s string) (string, string) {
	switch {
	case !routeRe.MatchString(s):
		return "is not a template for routes", "write it like /product/:id or /files/*"
	case len(s) > 160 || strings.Count(s, "/") > 32:
		return "is too long for a template", "use at most 160 bytes and 32 segments"
	}
	return "", ""
}

func dsnWord(s string) (string, string) {
	if _, err := schemas.ParseDSN(s); err != nil {
		return "is not usable: " + err.Error(), "copy it from the project's settings in Sentry: https://<key>@<host>/<project id>"
	}
	return "", ""
}

func httpURLWord(s string) (string, string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "is not an address", "write http://host:port or https://host:port"
	case u.User != nil:
		return "holds a user or password", "move them to username and password"
	case u.RawQuery != "" || u.Fragment != "":
		return "holds a query", "end the address with its path"
	}
	return "", ""
}

func schemeWord(schemes ...string) word {
	return func(s string) (string, string) {
		for _, one := range strings.Split(s, ",") {
			u, err := url.Parse(strings.TrimSpace(one))
			if err != nil || !slices.Contains(schemes, u.Scheme) || u.Hostname() == "" {
				return "is not an address", "write " + schemes[0] + "://host:port"
			}
		}
		return "", ""
	}
}

// releaseWord keeps Sentry's rule for release names.
func releaseWord(s string) (string, string) {
	if len(s) > 200 || badName(s) || strings.EqualFold(s, "latest") {
		return "is not a valid release", "use up to 200 bytes without slashes, tabs and line breaks; not ., .. or latest"
	}
	return "", ""
}

// environmentWord keeps Sentry's rule for environment names.
func environmentWord(s string) (string, string) {
	if len(s) > 64 || badName(s) || strings.EqualFold(s, "none") {
		return "is not a valid environment", "use up to 64 bytes without slashes, tabs and line breaks; not ., .. or none"
	}
	return "", ""
}

func badName(s string) bool {
	return strings.TrimSpace(s) == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\\\r\n\t\f\v")
}

func categoryWord(s string) (string, string) {
	c, ok := schemas.ParseCategory(s)
	switch {
	case c == schemas.CategoryInternal:
		return "cannot be limited", "remove it: client reports always pass"
	case !ok || c == schemas.CategoryUnknown || c == schemas.CategoryDefault: // nothing is counted as default
		return "is not a known category", suggest(s, limitable())
	}
	return "", ""
}

func globWord(s string) (string, string) {
	if strings.TrimSpace(s) == "" || len(s) > 500 {
		return "is not a glob", "write 1 to 500 characters; * stands for anything"
	}
	if !compiles(s) {
		return "is not a glob", "close its brackets, or put a backslash before them"
	}
	return "", ""
}

func compiles(pattern string) (ok bool) {
	defer func() { ok = ok && recover() == nil }()
	_, err := glob.Compile(pattern)
	return err == nil
}

func ipWord(s string) (string, string) {
	if _, err := netip.ParseAddr(s); err == nil {
		return "", ""
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return "", ""
	}
	return "is neither an address nor a network", "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
}

// scrubTypes are the built-in patterns of scrubbing rules.
var scrubTypes = []string{
	"@ip", "@email", "@creditcard", "@iban", "@usssn", "@pemkey", "@urlauth", "@userpath", "@bearer", "@imei", "@mac", "@uuid", "@anything",
}

func scrubPatternWord(s string) (string, string) {
	if strings.HasPrefix(s, "@") {
		return listWord("type of data", scrubTypes)(s)
	}
	re, err := regexp.Compile(s)
	switch {
	case err != nil:
		return "is not a regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "), "write it in RE2 syntax (no look-ahead, no back references)"
	case re.MatchString(""):
		return "matches the empty text, so it would match everywhere", "let it match at least one character, for example with + instead of *"
	}
	return "", ""
}
