package scrub

import "sort"

// maxRounds is how often a string is looked at again after its pieces were
// replaced; one that still gives hits is replaced as a whole.
const maxRounds = 6

// settle repeats the search on the text as it will be, until nothing is found:
// what one rule took may lay bare what another one asks for, and a payload that
// passes two gateways must not differ from one that passed the first.
func (w *walker) settle(n *node, s []byte) {
	t := &w.t
	w.again.rules = w.rules
	for range maxRounds {
		t.sort()
		w.after = splice(w.after[:0], s, t.matches)
		if isBlank(w.after) || already(w.after) {
			return
		}
		w.again.reset(t.flags)
		tr, digits := w.rules.scanner.scan(w.after)
		w.pieces(n, &w.again, w.after, tr, digits)
		if len(w.again.matches) == 0 {
			return
		}
		w.again.sort()
		t.matches = merge(t.matches, w.again.matches)
	}
	t.everything(s, rulePassword)
}

// merge brings the matches of a second look, whose places are those of the text
// after the first, back to the text before it. Where both meet the second counts.
func merge(first, second []match) []match {
	ends := make([]int, len(first)) // where each replacement ends in the new text
	shift := 0
	for i := range first {
		shift += len(first[i].text) - (first[i].end - first[i].start)
		ends[i] = first[i].end + shift
	}
	// before is the place in the old text; inside a replacement it is that
	// replacement's start, or its end.
	before := func(at int, end bool) int {
		i := sort.SearchInts(ends, at+1) // the first replacement that ends behind at
		if end {
			i = sort.SearchInts(ends, at)
		}
		back := 0
		if i > 0 {
			back = ends[i-1] - first[i-1].end
		}
		if i < len(first) {
			start := ends[i] - len(first[i].text)
			switch {
			case !end && at >= start:
				return first[i].start
			case end && at > start:
				return first[i].end
			}
		}
		return at - back
	}
	merged := make([]match, 0, len(first)+len(second))
	i := 0
	for _, m := range second {
		m.start, m.end = before(m.start, false), before(m.end, true)
		if k := len(merged); k > 0 && m.start < merged[k-1].end {
			merged[k-1].end = max(merged[k-1].end, m.end)
			for i < len(first) && first[i].start < merged[k-1].end {
				i++
			}
			continue
		}
		for ; i < len(first) && first[i].start < m.end; i++ {
			if first[i].end <= m.start {
				merged = append(merged, first[i])
			}
		}
		merged = append(merged, m)
	}
	return append(merged, first[i:]...)
}
