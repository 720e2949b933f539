package sentry

import (
	"crypto/rand"
	"encoding/hex"

	"breakwater/ingest"
	"breakwater/schemas"
)

const nilID = "00000000000000000000000000000000"

// parseID reads an event id as SDKs write it, 32 hex digits or a dashed UUID
// in any case, and returns 32 lower-case hex digits.
func parseID(s string) (id string, ok bool) {
	var out [32]byte
	switch len(s) {
	case 32:
		copy(out[:], s)
	case 36:
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return "", false
		}
		n := copy(out[:], s[:8])
		n += copy(out[n:], s[9:13])
		n += copy(out[n:], s[14:18])
		n += copy(out[n:], s[19:23])
		copy(out[n:], s[24:])
	default:
		return "", false
	}
	for i, c := range out {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			out[i] = c + 'a' - 'A'
		default:
			return "", false
		}
	}
	return string(out[:]), true
}

// newID makes a random (version 4) UUID without dashes.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return hex.EncodeToString(b[:])
}

// headerID is the envelope's event id: "" when there is none, or the nil UUID,
// which says as much. Anything that is no UUID refuses the envelope.
func headerID(h schemas.EnvelopeHeader) (string, error) {
	v, ok := h.Get("event_id")
	if !ok || v.Kind() == 'n' {
		return "", nil
	}
	id, ok := parseID(h.EventID())
	if !ok {
		return "", ingest.RejectEventID
	}
	if id == nilID {
		h.Delete("event_id")
		return "", nil
	}
	if h.EventID() != id {
		h.SetString("event_id", id)
	}
	return id, nil
}

// nameEvent settles the one id that the header, the payload and the answer
// say. The header's wins, then the payload's own; an event that has none is
// given one. An envelope without an event keeps what its header says.
func nameEvent(b *ingest.Batch) {
	main, bears := (*ingest.Item)(nil), false
	for _, it := range b.Items {
		if !it.Alive() {
			continue
		}
		if it.Type.Main && main == nil {
			main = it
		}
		bears = bears || it.Type.Main || it.Header.Type == "unreal_report" ||
			it.Header.Type == "attachment" && schemas.CreatesEvent(it.Header.AttachmentType())
	}
	if !bears {
		return
	}
	var ev *schemas.Event
	if main != nil && carriesID(main.Header.Type) {
		ev = main.Event()
	}
	own := ""
	if ev != nil {
		s, _ := ev.String("event_id")
		if own, _ = parseID(s); own == nilID {
			own = ""
		}
	}
	if b.EventID == "" {
		if b.EventID = own; own == "" {
			b.EventID = newID()
		}
		b.Header.SetString("event_id", b.EventID)
	}
	if ev != nil && own != b.EventID {
		ev.SetString("event_id", b.EventID)
	}
}

// carriesID tells whether a type's payload has an event_id of its own. Reports
// that browsers made have none.
func carriesID(typ string) bool { return typ == "event" || typ == "transaction" || typ == "feedback" }
