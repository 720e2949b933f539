package schemas

// Event is a lenient view of an event payload: it reads the few fields the
// gateway needs and leaves every other byte alone.
type Event struct {
	*Object
}

// ParseEvent reads the top level of an event. Fields of the wrong kind count
// as absent; they are never an error.
func ParseEvent(raw []byte) (*Event, error) {
	o, err := ParseObject(raw)
	if err != nil {
		return nil, err
	}
	return &Event{Object: o}, nil
}
