package ingest

import (
	"slices"
	"strings"

	"github.com/getsentry/sentry-go"

	"breakwater/schemas"
)

// MaxFrames is how many frames of one stack are kept: as many as Sentry keeps.
const MaxFrames = schemas.MaxFrames

// maxLine bounds a line that is looked at, in bytes: longer ones are data
// URLs, whose place nobody can use.
const maxLine = 4096

// Stack is a stack text taken apart.
type Stack struct {
	// Type and Value are the error's class and message, from the lines before
	// the first frame; "" when the engine does not write them.
	Type, Value string
	// Frames are in Sentry's order: the oldest call first, the crash last.
	Frames []sentry.Frame
	// Engine is hermes, v8, jsc (which may be SpiderMonkey: they write alike),
	// java, or "" when no frame was read.
	Engine string
}

// ParseStack reads the text of an error's stack property as V8, SpiderMonkey,
// JavaScriptCore and Hermes write it, or a Java stack trace. header is what
// the client gave as message, "" when unknown: lines that repeat it are not
// taken for frames, whatever they look like. native says that file names are
// those of a React Native bundle: they become app:///name, as source maps are
// uploaded for. The time is linear in the text; it never fails.
func ParseStack(text, header string, native bool) Stack {
	var s Stack
	text = s.cutHeader(text, header)
	var head []string
	component := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			component = false
			continue
		case strings.HasPrefix(line, "This error is located at:"): // React's component stack
			component = true
			continue
		case component:
			continue
		case len(s.Frames) > 0 && (strings.HasPrefix(line, "[cause]:") || strings.HasPrefix(line, "Caused by:")):
			return s.finish(head) // another error's frames
		}
		f, engine, ok := parseLine(line)
		if !ok {
			if len(s.Frames) == 0 && len(head) < 64 {
				head = append(head, line)
			}
			continue
		}
		if s.Engine == "" || engine == "hermes" {
			s.Engine = engine
		}
		s.Frames = append(s.Frames, f.frame(native))
		if len(s.Frames) == MaxFrames {
			break
		}
	}
	return s.finish(head)
}

func (s Stack) finish(head []string) Stack {
	slices.Reverse(s.Frames)
	if s.Type == "" && s.Value == "" {
		s.Type, s.Value = parseHeader(head)
	}
	return s
}

// cutHeader takes the first lines off when they are the message the client
// told us: a message may look like anything, a frame included.
func (s *Stack) cutHeader(text, header string) string {
	if header == "" {
		return text
	}
	at := strings.Index(text[:min(len(text), len(header)+512)], header)
	if at < 0 || strings.Contains(text[:at], "\n") {
		return text
	}
	rest := text[at+len(header):]
	if rest != "" && rest[0] != '\n' && rest[0] != '\r' {
		return text
	}
	s.Type = errorName(strings.TrimSuffix(strings.TrimSpace(text[:at]), ":"))
	s.Value = header
	return rest
}

// parseHeader reads "Type: message", which may go over several lines.
func parseHeader(lines []string) (typ, value string) {
	head := strings.Join(lines, "\n")
	for _, noise := range []string{"Uncaught ", "(in promise) ", `Exception in thread "main" `} {
		head = strings.TrimPrefix(head, noise)
	}
	name, message, found := strings.Cut(head, ":")
	if typ = errorName(name); typ == "" {
		return "", head
	}
	if !found && !strings.HasSuffix(typ, "Error") && !strings.HasSuffix(typ, "Exception") {
		return "", head
	}
	return typ, strings.TrimSpace(message)
}

// errorName is s when it can be a class's name (DOMException, my.app.Error), else "".
func errorName(s string) string {
	s = strings.TrimPrefix(s, "Uncaught ")
	if s == "" || len(s) > 128 {
		return ""
	}
	for i, c := range s {
		letter := c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c > 0x7f
		if !letter && (i == 0 || c != '.' && (c < '0' || c > '9')) {
			return ""
		}
	}
	return s
}

// parseLine reads one line without surrounding white space.
func parseLine(line string) (f rawFrame, engine string, ok bool) {
	if len(line) > maxLine {
		return rawFrame{}, "", false
	}
	if rest, is := strings.CutPrefix(line, "at "); is {
		return parseAt(strings.TrimSpace(rest))
	}
	f, ok = parseAtSign(line)
	return f, "jsc", ok
}

// rawFrame is one frame as the engine wrote it.
type rawFrame struct {
	function  string
	file      string
	line, col int
	native    bool   // the engine's own code
	addr      string // of WebAssembly code
	module    string // of Java
}
