package storm

import (
	"crypto/sha256"
	"strings"
)

const (
	// maxFrames is how many frames, innermost first, tell one bug from another.
	maxFrames = 5
	// maxExceptions bounds the chain of causes that is looked at.
	maxExceptions = 8
	// maxParts bounds a client's own fingerprint.
	maxParts = 32
)

// Facts are what an error is recognised by. Everything may be empty.
type Facts struct {
	Release, Environment, Level string
	// Message is that of an event without an exception; Logger helps to tell
	// messages apart.
	Message, Logger string
	// Exceptions are in the event's order: the oldest cause first, the one
	// that was reported last.
	Exceptions []Exception
	// Custom is the client's fingerprint; parts that say {{ default }} stand
	// for the computed one.
	Custom []string
}

// Exception is one of an error's exceptions.
type Exception struct {
	Type, Value string
	// Frames are in the event's order: the innermost last.
	Frames []Frame
}

// Frame is a frame of a stack. Line numbers do not count: they move with
// every build.
type Frame struct {
	File, Function string
	InApp          bool
}

// Fingerprint is what is counted: the ID without the release, and a title.
type Fingerprint struct {
	ID                          ID
	Title                       string
	Release, Environment, Level string
}

// Fingerprint computes the ID over the exceptions' types and normalised
// values and the innermost frames of the application, or over what the client
// says. Two errors of one bug agree in it whatever their build, host and data.
func (f *Facts) Fingerprint() Fingerprint {
	fp := Fingerprint{Release: f.Release, Environment: f.Environment, Level: f.Level}
	var space [1 << 10]byte // enough for most
	text, value := f.computed(space[:0])
	fp.Title = f.title(value)
	if f.isCustom() {
		own := []byte("custom")
		for _, part := range f.Custom[:min(len(f.Custom), maxParts)] {
			own = append(own, 0)
			if isDefault(part) {
				own = append(own, text...)
				continue
			}
			own = append(own, cut(part, maxValue)...)
		}
		text = own
	}
	sum := sha256.Sum256(text)
	copy(fp.ID[:], sum[:])
	return fp
}

// isCustom tells whether the client's fingerprint says more than the default.
func (f *Facts) isCustom() bool {
	return len(f.Custom) > 1 || len(f.Custom) == 1 && !isDefault(f.Custom[0])
}

// isDefault recognises {{ default }}, with or without the spaces.
func isDefault(part string) bool {
	inner, ok := strings.CutPrefix(part, "{{")
	if !ok {
		return false
	}
	inner, ok = strings.CutSuffix(inner, "}}")
	return ok && strings.TrimSpace(inner) == "default"
}

// computed appends the text under the default fingerprint, its parts parted by
// zero bytes, to b. value is what was reported, normalised.
func (f *Facts) computed(b []byte) (text []byte, value string) {
	if len(f.Exceptions) == 0 {
		value = Normal(f.Message)
		b = append(b, "message\x00"...)
		b = append(b, cut(f.Logger, maxName)...)
		b = append(b, 0)
		return append(b, value...), value
	}
	b = append(b, "exception"...)
	chain := f.Exceptions[max(0, len(f.Exceptions)-maxExceptions):]
	for i := len(chain) - 1; i >= 0; i-- {
		normal := Normal(chain[i].Value)
		if i == len(chain)-1 {
			value = normal
		}
		b = append(b, 0)
		b = append(b, cut(chain[i].Type, maxName)...)
		b = append(b, 0)
		b = append(b, normal...)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		if len(chain[i].Frames) > 0 {
			return appendFrames(b, chain[i].Frames), value
		}
	}
	return b, value
}

// appendFrames writes the innermost frames.
func appendFrames(b []byte, all []Frame) []byte {
	which, n := innermost(len(all), func(i int) bool { return all[i].InApp })
	last, from, to := "", 0, 0 // neighbours are often of one file
	for _, i := range which[:n] {
		b = append(b, 0)
		if all[i].File == last {
			b = append(b, b[from:to]...)
		} else {
			last, from = all[i].File, len(b)
			b = appendFile(b, last)
			to = len(b)
		}
		b = append(b, 0)
		b = append(b, cut(all[i].Function, maxName)...)
	}
	return b
}

// innermost are which of n frames tell one bug from another, the innermost
// first: those of the application, or of all where none is known to be that.
func innermost(n int, inApp func(i int) bool) (which [maxFrames]int, found int) {
	for i := n - 1; i >= 0 && found < maxFrames; i-- {
		if inApp(i) {
			which[found] = i
			found++
		}
	}
	if found == 0 {
		for ; found < min(n, maxFrames); found++ {
			which[found] = n - 1 - found
		}
	}
	return which, found
}

// title is the error for people: its type and its normalised value.
func (f *Facts) title(value string) string {
	kind := ""
	if n := len(f.Exceptions); n > 0 {
		kind = cut(f.Exceptions[n-1].Type, maxTitle)
	}
	if kind == "" || value == "" {
		return cut(kind+value, maxTitle)
	}
	return cut(kind+": "+cut(value, maxTitle), maxTitle)
}
