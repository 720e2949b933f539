package schemas

// Split makes one record of each event-like item: an envelope may hold only
// one event, but some requests bring several (a batch of crash reports). The
// first record keeps everything else the envelope holds; each further one has
// its event alone, under the event's own id. A record of at most one event is
// returned as it is. The records have no ID yet: the spool gives one to each.
func (r *Record) Split() []*Record {
	if r.mains() < 2 {
		return []*Record{r}
	}
	first := &Record{Meta: r.Meta, Envelope: Envelope{Header: r.Envelope.Header}}
	first.Meta.Counts = nil
	records := []*Record{first}
	for i := range r.Envelope.Items {
		to, it := first, r.Envelope.Items[i]
		if isMain(&it) && first.mains() > 0 {
			to = &Record{Meta: first.Meta, Envelope: Envelope{Header: copyHeader(r.Envelope.Header)}}
			to.Meta.ID, to.Meta.EventID, to.Meta.Release, to.Meta.Fingerprint, to.Meta.Counts = "", "", "", "", nil
			to.name(&it)
			records = append(records, to)
		}
		to.Envelope.Items = append(to.Envelope.Items, it)
		if i < len(r.Meta.Counts) {
			to.Meta.Counts = append(to.Meta.Counts, r.Meta.Counts[i])
		}
	}
	return records
}

func (r *Record) mains() int {
	n := 0
	for i := range r.Envelope.Items {
		if isMain(&r.Envelope.Items[i]) {
			n++
		}
	}
	return n
}

func isMain(it *Item) bool {
	t, _ := LookupItemType(it.Header.Type)
	return t.Main
}

func copyHeader(h EnvelopeHeader) EnvelopeHeader {
	if o, err := ParseObject(h.Bytes()); err == nil {
		return EnvelopeHeader{o}
	}
	return EmptyHeader()
}

// Extract moves the items of a type into a record of their own, whose envelope
// has an empty header; nil when there are none.
func (r *Record) Extract(typ string) *Record {
	n := 0
	for i := range r.Envelope.Items {
		if r.Envelope.Items[i].Header.Type == typ {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	own := &Record{Meta: r.Meta, Envelope: Envelope{Header: EmptyHeader()}}
	own.Meta.EventID, own.Meta.Release, own.Meta.Fingerprint, own.Meta.Counts = "", "", "", nil
	items, counts := r.Envelope.Items, r.Meta.Counts
	r.Envelope.Items, r.Meta.Counts = nil, nil
	for i := range items {
		to := r
		if items[i].Header.Type == typ {
			to = own
		}
		to.Envelope.Items = append(to.Envelope.Items, items[i])
		if i < len(counts) {
			to.Meta.Counts = append(to.Meta.Counts, counts[i])
		}
	}
	return own
}

// NameByEvent gives a record, and its envelope, the id of its first event, as
// that event's payload has it; without an event it has none.
func (r *Record) NameByEvent() {
	r.Envelope.Header = copyHeader(r.Envelope.Header)
	release := r.Meta.Release
	r.Meta.EventID = ""
	r.Envelope.Header.Delete("event_id")
	for i := range r.Envelope.Items {
		if it := &r.Envelope.Items[i]; isMain(it) {
			r.name(it)
			break
		}
	}
	if release != "" {
		r.Meta.Release = release
	}
}

// name gives a record the id and release of its event. What browsers report has
// no id of its own: it is given one here, so that it keeps it over every retry.
func (r *Record) name(it *Item) {
	r.Envelope.Header.Delete("event_id")
	raw, ok := it.InMemory()
	if !ok {
		return
	}
	ev, err := ParseEvent(raw)
	if err != nil {
		return
	}
	r.Meta.Release = ev.Release()
	id, ok := ParseEventID(ev.EventID())
	if !ok {
		id = NewEventID()
	}
	r.Meta.EventID = id
	r.Envelope.Header.SetString("event_id", id)
}
