package storm

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

func newEventID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return hex.EncodeToString(b[:])
}

// summaryEvent is the event that tells upstream what a storm was.
type summaryEvent struct {
	EventID     string            `json:"event_id"`
	Timestamp   string            `json:"timestamp"`
	Platform    string            `json:"platform"`
	Level       string            `json:"level"`
	Logger      string            `json:"logger"`
	Message     string            `json:"message"`
	Release     string            `json:"release,omitempty"`
	Environment string            `json:"environment,omitempty"`
	Fingerprint []string          `json:"fingerprint"`
	Tags        map[string]string `json:"tags"`
	Extra       map[string]string `json:"extra"`
}

// batch makes the summary of a storm: one event item, in the name of the
// project and key that sent the storm, received now.
func (st *storm) batch(now time.Time) (*ingest.Batch, error) {
	level := "info"
	if st.level == "" || st.level == "error" || st.level == "fatal" {
		level = "warning"
	}
	title := st.title
	if title == "" {
		title = "an error"
	}
	begin, end := time.Unix(0, st.start).UTC(), time.Unix(0, st.lastSuppressed).UTC()
	raw, err := json.Marshal(summaryEvent{
		EventID: st.eventID, Timestamp: now.UTC().Format(time.RFC3339Nano),
		Platform: "other", Level: level, Logger: "breakwater.storm",
		Message: fmt.Sprintf("Storm of %s: %d events, %d forwarded", title, st.seen, st.forwarded),
		Release: st.release, Environment: st.env,
		Fingerprint: []string{"breakwater-storm", st.id.String()},
		Tags: map[string]string{
			"storm.fingerprint": st.id.String(),
			"storm.events":      strconv.FormatUint(st.seen, 10),
			"storm.forwarded":   strconv.FormatUint(st.forwarded, 10),
			"storm.suppressed":  strconv.FormatUint(st.seen-st.forwarded, 10),
		},
		Extra: map[string]string{
			"storm.began": begin.Format(time.RFC3339), "storm.last_suppressed": end.Format(time.RFC3339),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing storm summary: %w", err)
	}
	header := schemas.EmptyHeader()
	header.SetString("event_id", st.eventID)
	header.SetString("sent_at", now.UTC().Format(time.RFC3339Nano))
	item := schemas.Item{Header: schemas.NewItemHeader("event", "content_type", "application/json"), Payload: schemas.Bytes(raw)}
	return &ingest.Batch{
		Request: &ingest.Request{
			Endpoint: "storm", Project: st.project, Key: st.publicKey, ReceivedAt: now,
		},
		Header: header, EventID: st.eventID, Items: []*ingest.Item{ingest.NewItem(item)},
	}, nil
}
