package ingest

import "strings"

// parseAt reads what follows "at ": V8, Hermes, old Edge, and Java.
//
//	foo (https://a/b.js:1:2)                new Foo (…)   async foo (…)   Object.f [as g] (…)
//	https://a/b.js:1:2                      async https://a/b.js:1:2
//	eval (eval at foo (https://a/b.js:1:2), <anonymous>:1:1)
//	foo (address at index.android.bundle:1:2345)          map (native)
//	foo (wasm://wasm/a1b2:wasm-function[12]:0x1a3)        Promise.all (index 0)
//	com.example.Cart.pay(Cart.java:42)
func parseAt(s string) (f rawFrame, engine string, ok bool) {
	s = strings.TrimPrefix(s, "async ")
	engine = "v8"
	if !strings.HasSuffix(s, ")") {
		f, ok = parsePlace(s, false)
		return f, engine, ok
	}
	// The place begins at the first " (" after which one can be read: names
	// and paths may have brackets themselves.
	for from, tries := 0, 0; tries < 8; tries++ {
		i := strings.Index(s[from:], " (")
		if i < 0 {
			break
		}
		i += from
		place := s[i+2 : len(s)-1]
		if rest, hermes := strings.CutPrefix(place, "address at "); hermes {
			place, engine = rest, "hermes"
		}
		if f, ok = parsePlace(place, true); ok {
			if name := strings.TrimSpace(s[:i]); name != "" {
				f.function = name
			}
			return f, engine, true
		}
		from = i + 2
	}
	if f, ok = parseJava(s); ok {
		return f, "java", true
	}
	return rawFrame{}, "", false
}

// parsePlace reads where a V8 or Hermes frame is. in says that it stood in
// brackets, where anything is a place; without them prose must be kept out.
func parsePlace(s string, in bool) (f rawFrame, ok bool) {
	switch s {
	case "native", "[native code]":
		return rawFrame{file: "native", native: true}, true
	case "<anonymous>", "unknown location", "unknown":
		return rawFrame{file: "<anonymous>", native: true}, s == "<anonymous>" || in
	}
	switch {
	case strings.HasPrefix(s, "native "):
		return rawFrame{file: "native", native: true}, in
	case strings.HasPrefix(s, "index ") && in: // at async Promise.all (index 0)
		return rawFrame{file: "<anonymous>", native: true}, digits(s[6:]) == len(s)-6
	case strings.HasPrefix(s, "eval at "):
		return parseEval(s)
	}
	if f, ok = parseWasm(s); ok {
		return f, true
	}
	file, line, col := splitPlace(s)
	if line == 0 && col < 0 || file == "" || digits(file) == len(file) {
		return rawFrame{}, false
	}
	if strings.ContainsAny(file, " ") && !in && !strings.ContainsAny(file, `/\`) {
		return rawFrame{}, false
	}
	if i := strings.Index(file, " ("); i >= 0 && !strings.ContainsAny(file[:i], `/\`) {
		return rawFrame{}, false // a name, not a path with brackets
	}
	return rawFrame{file: file, line: line, col: max(col, 0), native: file == "<anonymous>"}, true
}

// parseEval reads "eval at foo (https://a/b.js:1:2), <anonymous>:3:4": the
// place is where eval was called, which is the only one with a source.
func parseEval(s string) (rawFrame, bool) {
	for range 8 {
		open := strings.Index(s, " (")
		if open < 0 {
			return rawFrame{}, false
		}
		s = s[open+2:]
		if !strings.HasPrefix(s, "eval at ") {
			break
		}
	}
	end := strings.Index(s, "), ")
	if end < 0 {
		if end = strings.IndexByte(s, ')'); end < 0 {
			end = len(s)
		}
	}
	f, ok := parsePlace(strings.TrimRight(s[:end], ")"), true)
	f.function = "eval"
	return f, ok
}

// parseWasm reads "https://a/x.wasm:wasm-function[12]:0x1a3".
func parseWasm(s string) (rawFrame, bool) {
	i := strings.Index(s, "wasm-function[")
	if i < 0 || i > 0 && s[i-1] != ':' {
		return rawFrame{}, false
	}
	name, addr, _ := strings.Cut(s[i:], "]")
	f := rawFrame{file: strings.TrimSuffix(s[:i], ":"), function: name + "]", addr: strings.TrimPrefix(addr, ":")}
	if f.file == "" {
		f.file, f.native = "<anonymous>", true
	}
	if !strings.HasPrefix(f.addr, "0x") {
		f.addr = ""
	}
	return f, true
}

// parseJava reads "com.example.Cart.pay(Cart.java:42)".
func parseJava(s string) (rawFrame, bool) {
	name, place, ok := strings.Cut(strings.TrimSuffix(s, ")"), "(")
	dot := strings.LastIndexByte(name, '.')
	if !ok || dot <= 0 || strings.ContainsAny(name, " :@") {
		return rawFrame{}, false
	}
	f := rawFrame{function: name[dot+1:], module: name[:dot]}
	switch place {
	case "Native Method":
		f.native = true
		return f, true
	case "Unknown Source", "":
		return f, true
	}
	file, line, col := splitPlace(place)
	if col >= 0 || strings.ContainsAny(file, "/( ") {
		return rawFrame{}, false
	}
	f.file, f.line = file, line
	return f, true
}

// splitPlace takes ":line" or ":line:column" off the end of a place; col is -1
// when there is none, line 0.
func splitPlace(s string) (file string, line, col int) {
	rest, last, ok := cutNumber(s)
	if !ok {
		return s, 0, -1
	}
	if file, first, ok := cutNumber(rest); ok {
		return file, first, last
	}
	return rest, last, -1
}

func cutNumber(s string) (rest string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || len(s)-i-1 > 15 || digits(s[i+1:]) != len(s)-i-1 || i == len(s)-1 {
		return s, 0, false
	}
	for _, c := range s[i+1:] {
		n = n*10 + int(c-'0')
	}
	return s[:i], n, true
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
