package storm

import "breakwater/schemas"

// Read recognises an error event.
func Read(ev *schemas.Event) Fingerprint {
	f := Facts{
		Release: ev.Release(), Environment: ev.Environment(), Level: ev.Level(),
		Custom: ev.Fingerprint(),
	}
	list := ev.Exceptions()
	f.Exceptions = make([]Exception, len(list))
	stack := false // the fingerprint looks at one only
	for i := len(list) - 1; i >= 0; i-- {
		x, ex := &list[i], &f.Exceptions[i]
		*ex = Exception{Type: x.Type, Value: x.Value}
		if ex.Type == "" {
			ex.Type = x.Module
		}
		if !stack && x.Stack.Len() > 0 {
			stack, ex.Frames = true, readFrames(x.Stack)
		}
	}
	if len(f.Exceptions) == 0 {
		f.Message, f.Logger = ev.Message(), ev.Logger()
	}
	return f.Fingerprint()
}

// readFrames reads those frames of a stack that tell one bug from another.
func readFrames(stack schemas.Stack) []Frame {
	which, n := innermost(stack.Len(), stack.InApp)
	list := make([]Frame, n)
	var f schemas.Frame
	for k, i := range which[:n] {
		stack.Read(i, &f)
		list[n-1-k] = Frame{File: fileOf(&f), Function: f.Function, InApp: f.InApp != nil && *f.InApp}
	}
	return list
}

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
