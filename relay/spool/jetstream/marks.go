package jetstream

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-json"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// kind is what became of a record at a destination.
type kind string

const (
	kindDone  kind = "done"  // ended, with finals
	kindDead  kind = "dead"  // a dead letter
	kindWait  kind = "wait"  // not due before a time
	kindMoved kind = "moved" // the whole record lies in another message
)

// mark is what is known of one record at one destination. Without one, it waits.
type mark struct {
	Kind     kind            `json:"k"`
	Finals   []schemas.Final `json:"f,omitempty"`  // done: per item; none: all delivered
	Reason   string          `json:"r,omitempty"`  // dead, wait
	Due      int64           `json:"at,omitempty"` // wait: ms since 1970
	Attempts int             `json:"n,omitempty"`  // wait
	To       uint64          `json:"to,omitempty"` // moved: the message's sequence
}

// ended says that the destination has nothing to do with the record any more.
func (m mark) ended() bool { return m.Kind == kindDone || m.Kind == kindDead || m.Kind == kindMoved }

func (m mark) equal(o mark) bool {
	return m.Kind == o.Kind && m.Reason == o.Reason && m.Due == o.Due && m.Attempts == o.Attempts && m.To == o.To && slices.Equal(m.Finals, o.Finals)
}

// finals of a mark that ended, per item of n.
func (m mark) finals(n int) []schemas.Final {
	switch {
	case m.Kind == kindDead:
		return schemas.AllFinal(n, schemas.DeadLetter, m.Reason)
	case len(m.Finals) == 0:
		return schemas.AllFinal(n, schemas.Delivered, "")
	}
	return m.Finals
}

// done is the mark of a record that was settled.
func done(finals []schemas.Final) mark {
	delivered := schemas.Final{Outcome: schemas.Delivered}
	if !slices.ContainsFunc(finals, func(f schemas.Final) bool { return f != delivered }) {
		return mark{Kind: kindDone}
	}
	return mark{Kind: kindDone, Finals: slices.Clone(finals)}
}

// place is a record of a message, at a destination ("" for all: moved).
type place struct {
	i    int
	dest string
}

type marks map[place]mark

// A message's marks are stored as groups of equal ones: most records of a pack
// end alike.
type markGroup struct {
	Dest    string `json:"d"`
	Records string `json:"i"` // "0-3,7"
	mark
}

func (m marks) encode() ([]byte, error) {
	places := slices.SortedFunc(maps.Keys(m), func(a, b place) int {
		if c := strings.Compare(a.dest, b.dest); c != 0 {
			return c
		}
		return a.i - b.i
	})
	var groups []markGroup
	var lists [][]int
next:
	for _, p := range places {
		for g := range groups {
			if groups[g].Dest == p.dest && groups[g].mark.equal(m[p]) {
				lists[g] = append(lists[g], p.i)
				continue next
			}
		}
		groups, lists = append(groups, markGroup{Dest: p.dest, mark: m[p]}), append(lists, []int{p.i})
	}
	for g := range groups {
		groups[g].Records = ranges(lists[g])
	}
	return json.Marshal(groups)
}

// ranges writes ascending numbers as "0-3,7".
func ranges(list []int) string {
	var b strings.Builder
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(list[i]))
		if j > i {
			b.WriteString("-" + strconv.Itoa(list[j]))
		}
		i = j + 1
	}
	return b.String()
}

// decodeMarks reads what encode wrote, for a pack of n records.
func decodeMarks(data []byte, n int) (marks, error) {
	m := marks{}
	if len(bytes.TrimSpace(data)) == 0 {
		return m, nil
	}
	var groups []markGroup
	if err := json.Unmarshal(data, &groups); err != nil {
		return nil, fmt.Errorf("%w: marks: %w", errMalformed, err)
	}
	for _, g := range groups {
		for part := range strings.SplitSeq(g.Records, ",") {
			from, to, span := strings.Cut(part, "-")
			a, err := strconv.Atoi(from)
			b := a
			if err == nil && span {
				b, err = strconv.Atoi(to)
			}
			if err != nil || a < 0 || b < a || b >= n {
				return nil, fmt.Errorf("%w: marks for records %q of %d", errMalformed, g.Records, n)
			}
			for i := a; i <= b; i++ {
				m[place{i, g.Dest}] = g.mark
			}
		}
	}
	return m, nil
}

// outcome is the worst final per item of a record that ended everywhere.
func outcome(r *stored, i, items int, m marks) (finals []schemas.Final) {
	for _, c := range r.carried {
		finals = spool.WorstFinals(finals, c.finals(items))
	}
	for _, t := range r.targets {
		finals = spool.WorstFinals(finals, m[place{i, t}].finals(items))
	}
	return finals
}
