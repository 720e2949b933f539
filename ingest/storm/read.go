package storm

import "breakwater/schemas"

// Read recognises an error event.
func Read(ev *schemas.Event) Fingerprint {
	f := Facts{
		Release: ev.Release(), Environment: ev.Environment(), Level: ev.Level(),
		Custom: ev.Fingerprint(),
	}
	for _, x := range ev.Exceptions() {
		ex := Exception{Type: x.Type, Value: x.Value, Frames: make([]Frame, len(x.Frames))}
		if ex.Type == "" {
			ex.Type = x.Module
		}
		for i, fr := range x.Frames {
			ex.Frames[i] = Frame{File: fileOf(fr), Function: fr.Function, InApp: fr.InApp != nil && *fr.InApp}
		}
		f.Exceptions = append(f.Exceptions, ex)
	}
	if len(f.Exceptions) == 0 {
		f.Message, f.Logger = ev.Message(), ev.Logger()
	}
	return f.Fingerprint()
}

// fileOf names a frame's file by the best that is known: Java and Python give
// a module, browsers an absolute path.
func fileOf(f schemas.Frame) string {
	switch {
	case f.Filename != "":
		return f.Filename
	case f.Module != "":
		return f.Module
	}
	return f.AbsPath
}
