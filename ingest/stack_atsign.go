package ingest

import "strings"

// parseAtSign reads the lines of SpiderMonkey and JavaScriptCore, which write
// alike:
//
//	foo@https://a/b.js:1:2          foo/bar<@…      @https://a/b.js:1:2      https://a/b.js:1:2
//	async*foo@…                     promise callback*foo@…                   async foo@…
//	global code@…                   map@[native code]                        eval code@
//	foo@https://a/b.js line 26 > eval:4:18                                   foo@main.jsbundle:1:2
//	wasm-function[12]@[wasm code]   foo@https://a/x.wasm:wasm-function[12]:0x1a3
//	foo@safari-extension:(//ID/commons.js:22:10)
func parseAtSign(line string) (rawFrame, bool) {
	switch line {
	case "[native code]", "[wasm code]":
		return rawFrame{file: line, native: true}, true
	case "eval code", "global code", "module code":
		return rawFrame{function: line, file: "<anonymous>", native: true}, true
	}
	name, place, named := cutName(line)
	if !named && !looksLikePlace(place) {
		return rawFrame{}, false
	}
	f, ok := parseMozPlace(place, named)
	if !ok {
		return rawFrame{}, false
	}
	if name = bareName(name); name != "" {
		f.function = name
	}
	return f, true
}

// cutName splits "name@place". A place may have an at-sign itself
// (https://cdn/react@18/x.js), a name never begins with a scheme.
func cutName(line string) (name, place string, ok bool) {
	i := strings.IndexByte(line, '@')
	if i < 0 {
		return "", line, false
	}
	if s := strings.Index(line[:i], "://"); s > 0 && schemeAt(line[:s]) {
		return "", line, false
	}
	if i > 512 {
		return "", line, false
	}
	return line[:i], line[i+1:], true
}

// schemeAt tells whether s is a URL's scheme and nothing more.
func schemeAt(s string) bool {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.') {
			return false
		}
	}
	return s != ""
}

// looksLikePlace tells a frame without a name from prose: a URL, a path or a
// bundle, with a line.
func looksLikePlace(s string) bool {
	file, line, col := splitPlace(s)
	if line == 0 && col < 0 {
		return false
	}
	if scheme, _, ok := strings.Cut(file, "://"); ok && schemeAt(scheme) {
		return true
	}
	if strings.ContainsAny(file, " \t") {
		return false
	}
	return strings.HasPrefix(file, "/") || strings.HasSuffix(file, "bundle") || strings.HasSuffix(file, ".js") ||
		strings.HasPrefix(file, "app:") || strings.HasPrefix(file, "blob:") || strings.HasPrefix(file, "node:")
}

// parseMozPlace reads the place behind the at-sign.
func parseMozPlace(s string, named bool) (rawFrame, bool) {
	switch s {
	case "[native code]", "native", "[wasm code]":
		return rawFrame{file: s, native: true}, true
	case "":
		return rawFrame{file: "<anonymous>", native: true}, named
	}
	// Safari writes safari-extension:(//id/file.js:1:2).
	if scheme, rest, ok := strings.Cut(s, ":("); ok && strings.HasPrefix(scheme, "safari") {
		s = scheme + ":" + strings.TrimSuffix(rest, ")")
	}
	if f, ok := parseWasm(s); ok {
		return f, true
	}
	// "https://a/b.js line 26 > eval line 2 > eval:4:18": the first line is
	// that of the source.
	if file, rest, ok := strings.Cut(s, " line "); ok {
		if n := digits(rest); n > 0 && n < 16 && strings.HasPrefix(rest[n:], " > ") {
			_, line, _ := cutNumber(":" + rest[:n])
			return rawFrame{function: "eval", file: file, line: line}, true
		}
	}
	file, line, col := splitPlace(s)
	if line == 0 && col < 0 || file == "" {
		return rawFrame{}, false
	}
	if strings.ContainsAny(file, " ") && !strings.ContainsAny(file, `/\`) && !strings.HasPrefix(file, "debugger") {
		return rawFrame{}, false // prose with an e-mail address in it
	}
	return rawFrame{file: file, line: line, col: max(col, 0), native: file == "self-hosted"}, true
}

// bareName takes off how an asynchronous call came about.
func bareName(name string) string {
	if i := strings.LastIndexByte(name, '*'); i >= 0 {
		name = name[i+1:]
	}
	return strings.TrimPrefix(strings.TrimSpace(name), "async ")
}
