package schemas

// Exception is one exception of an event, as far as the gateway reads it.
type Exception struct {
	Type, Value, Module string
	// Handled is the mechanism's word: nil when the client did not say.
	Handled *bool
	// MechanismType is who caught it: generic, onerror, onunhandledrejection, ….
	MechanismType string
	// Stack is where it was thrown.
	Stack Stack
}

// Stack are the frames of one exception, in the order of the wire: oldest call
// first, the crashing one last. A frame is read when it is asked for: of most
// errors nobody looks at more than the innermost few, and the frames are most
// of an event's text. The zero value has none.
type Stack struct {
	text []byte
	at   []int32 // where each frame begins
}

// Frame is one frame of a stack, as far as the gateway reads it. Lines and
// columns are 0 when absent.
type Frame struct {
	Filename, AbsPath, Function, Module string
	Lineno, Colno                       int
	InApp                               *bool
}

// Len is how many frames there are, at most MaxFrames.
func (s Stack) Len() int { return len(s.at) }

// Frame reads the frame at i, 0 being the outermost.
func (s Stack) Frame(i int) (f Frame) {
	s.Read(i, &f)
	return f
}

// Read is Frame into f. What f says already is not made anew: frames of one
// stack often name the same file.
func (s Stack) Read(i int, f *Frame) {
	last := *f
	*f = Frame{}
	readFrame(s.text, int(s.at[i]), f, &last)
}

// InApp tells whether the frame at i says that it belongs to the application;
// it reads nothing else of it.
func (s Stack) InApp(i int) bool {
	v, _ := Lookup(s.text[s.at[i]:], "in_app")
	b := boolean(v)
	return b != nil && *b
}

// Frames reads all frames.
func (s Stack) Frames() []Frame {
	if len(s.at) == 0 {
		return nil
	}
	all := make([]Frame, len(s.at))
	var f Frame
	for i := range all {
		s.Read(i, &f)
		all[i] = f
	}
	return all
}

// Bounds of what Exceptions reads: more of either is more than any client
// sends. Of the exceptions the first are kept, of the frames the last (the
// ones nearest to the crash).
const (
	MaxExceptions = 64
	MaxFrames     = 250
)

// Exceptions are the event's exceptions in the order of the wire: the cause
// first, the one that was thrown last. Read from {"values": […]}, a bare array
// or a single object, under "exception" or "sentry.interfaces.Exception". An
// object or array as value is kept as its JSON text. nil when there are none.
// They are read once and kept, because several stages ask. Read the list, do not
// change it.
func (e *Event) Exceptions() []Exception {
	v, ok := e.first("exception", "sentry.interfaces.Exception")
	if !ok || len(v) == 0 {
		return nil
	}
	// An edit puts another slice in the place of the one that was read.
	if len(v) != len(e.exceptionsOf) || &v[0] != &e.exceptionsOf[0] {
		e.exceptions, e.exceptionsOf = readExceptions(v), v
	}
	return e.exceptions
}

// FirstException is the first of Exceptions.
func (e *Event) FirstException() (ex Exception, ok bool) {
	if list := e.Exceptions(); len(list) > 0 {
		return list[0], true
	}
	return Exception{}, false
}

// HasException tells whether there is an exception at all.
func (e *Event) HasException() bool { return len(e.Exceptions()) > 0 }

// Handled tells whether the program caught the error: false when any
// exception's mechanism says so. known is false when none says anything, as
// for messages.
func (e *Event) Handled() (handled, known bool) {
	handled = true
	for _, ex := range e.Exceptions() {
		if ex.Handled != nil {
			known = true
			handled = handled && *ex.Handled
		}
	}
	return handled && known, known
}

// IsUnhandledCrash tells whether the program did not catch the error.
func (e *Event) IsUnhandledCrash() bool {
	handled, known := e.Handled()
	return known && !handled
}
