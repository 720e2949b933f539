package ingest

import (
	"strconv"
	"time"

	"breakwater/schemas"
)

// Memory of what is durable of batches whose rest could not be stored: a
// client told to send all of it again does so within minutes.
const (
	PartsFor = time.Hour
	PartsMax = 50_000
)

// part is what stands for an item of a batch wherever the same bytes are
// decoded again.
func (b *Batch) part(i int) [][]byte {
	return [][]byte{[]byte(b.Request.Endpoint), b.Digest, []byte(b.Items[i].Header.Type), strconv.AppendInt(nil, int64(i), 10)}
}

// skipParts ends what an attempt before has made durable, of a batch that goes
// to the sink in several records; the ends are told by keepParts.
func (b *Batch) skipParts(m *Repeats) {
	if m == nil || len(b.Digest) == 0 || m.Len(b.Request.Project.Name) == 0 {
		return
	}
	for i, it := range b.Items {
		if it.Alive() && m.Kept(b.Request.Project.Name, b.part(i)...) {
			it.Outcome, it.Reason = schemas.Filtered, ReasonRepeat // not Drop: what hangs on it is asked for by itself
			b.skipped = append(b.skipped, i)
		}
	}
}

// keepParts remembers what the sink has of a batch that it could not take
// whole; whole says that nothing is missing any more, and nothing will be sent
// again.
func (b *Batch) keepParts(m *Repeats, whole bool) {
	if m == nil || len(b.Digest) == 0 {
		return
	}
	project := b.Request.Project.Name
	if whole {
		for _, i := range b.skipped {
			m.Forget(project, b.part(i)...)
		}
		return
	}
	for i, it := range b.Items {
		if it.Alive() {
			if c, state := m.Begin(project, b.part(i)...); state == Fresh {
				c.Keep()
			}
		}
	}
}
