package storm

import (
	"slices"

	"breakwater/schemas"
)

// Read recognises an error event.
func Read(ev *schemas.Event) Fingerprint {
	f := Facts{
		Release: ev.Release(), Environment: ev.Environment(), Level: ev.Level(),
		Custom: ev.Fingerprint(),
	}
	list := ev.Exceptions()
	f.Exceptions = make([]Exception, len(list))
	for i := range list {
		x, ex := &list[i], &f.Exceptions[i]
		*ex = Exception{Type: x.Type, Value: x.Value, Frames: make([]Frame, 0, min(len(x.Frames), maxFrames))}
		if ex.Type == "" {
			ex.Type = x.Module
		}
		for n := range innermost(len(x.Frames), func(n int) bool { return inApp(&x.Frames[n]) }) {
			fr := &x.Frames[n]
			ex.Frames = append(ex.Frames, Frame{File: fileOf(fr), Function: fr.Function, InApp: inApp(fr)})
		}
		slices.Reverse(ex.Frames)
	}
	if len(f.Exceptions) == 0 {
		f.Message, f.Logger = ev.Message(), ev.Logger()
	}
	return f.Fingerprint()
}

func inApp(f *schemas.Frame) bool { return f.InApp != nil && *f.InApp }

// fileOf names a frame's file by the best that is known: Java and Python give
// a module, browsers an absolute path.
func fileOf(f *schemas.Frame) string {
	switch {
	case f.Filename != "":
		return f.Filename
	case f.Module != "":
		return f.Module
	}
	return f.AbsPath
}
