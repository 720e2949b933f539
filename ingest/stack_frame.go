package ingest

import (
	"strings"

	"github.com/getsentry/sentry-go"
)

// unknownFunction is what SDKs write for a function without a name.
const unknownFunction = "?"

// frame makes Sentry's frame. native: see ParseStack.
func (f rawFrame) frame(native bool) sentry.Frame {
	out := sentry.Frame{Function: f.function, Module: f.module, Lineno: f.line, Colno: f.col, InstructionAddr: f.addr}
	if out.Function == "" || out.Function == "<anonymous>" {
		out.Function = unknownFunction
	}
	if f.addr != "" {
		out.AddrMode = "rel:0"
	}
	out.Filename, out.AbsPath = FileNames(f.file, native && !f.native)
	out.InApp = !f.native && inApp(f.file, f.module)
	return out
}

// FileNames are the short and the full name of a script: for an address its
// path and itself, for a React Native bundle app:///name twice, which is what
// source maps are uploaded for.
func FileNames(file string, native bool) (name, abs string) {
	if file == "" || strings.HasPrefix(file, "[") || file == "<anonymous>" || file == "native" {
		return file, ""
	}
	if native {
		name = bundleName(file)
		return name, name
	}
	rest, ok := strings.CutPrefix(file, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(file, "http://")
	}
	if !ok {
		return file, file
	}
	path := "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		path = rest[i:]
	}
	if i := strings.IndexAny(path, "?#"); i > 0 {
		path = path[:i]
	}
	return path, file
}

// bundleName is app:/// and the last part of a path or address.
func bundleName(file string) string {
	if i := strings.IndexAny(file, "?#"); i > 0 { // the development server's options
		file = file[:i]
	}
	file, _, _ = strings.Cut(file, "//&") // the same, on iOS
	file = strings.TrimRight(file, "/")
	if i := strings.LastIndexByte(file, '/'); i >= 0 {
		file = file[i+1:]
	}
	return "app:///" + file
}

// libraries are parts of a path, or beginnings of one, that are not the
// program's own code.
var (
	libraryParts = []string{"/node_modules/", "~/node_modules", "webkit-masked-url", "InternalBytecode.js"}
	libraryHeads = []string{
		"node:", "internal/", "node_modules/", "native ", "self-hosted", "resource://", "chrome://",
		"chrome-extension://", "moz-extension://", "safari-extension:", "safari-web-extension:", "debugger eval code",
	}
	libraryModules = []string{"java.", "javax.", "kotlin.", "kotlinx.", "android.", "androidx.", "com.android.", "dalvik.", "sun.", "com.facebook."}
)

// inApp guesses whether a frame is the program's own code. What cannot be
// told is: Sentry hides frames that are not.
func inApp(file, module string) bool {
	for _, part := range libraryParts {
		if strings.Contains(file, part) {
			return false
		}
	}
	for _, head := range libraryHeads {
		if strings.HasPrefix(file, head) {
			return false
		}
	}
	for _, head := range libraryModules {
		if strings.HasPrefix(module, head) {
			return false
		}
	}
	return true
}
