package elastic

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"breakwater/relay"
	"breakwater/schemas"
)

// result is what became of one document.
type result struct {
	Status int `json:"status"`
	Error  struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	} `json:"error"`
}

// parseAnswer reads the answer to a bulk request of n documents: their ends, in
// the order of the request.
func parseAnswer(body []byte, n int) ([]result, error) {
	var answer struct {
		Errors *bool               `json:"errors"`
		Items  []map[string]result `json:"items"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New("the answer is not that of the bulk API")
	}
	if answer.Errors == nil || len(answer.Items) != n {
		return nil, fmt.Errorf("the answer tells of %d documents, %d were sent", len(answer.Items), n)
	}
	results := make([]result, n)
	for i, item := range answer.Items {
		r, ok := item["create"]
		if !ok || len(item) != 1 || r.Status < 100 || r.Status > 999 {
			return nil, fmt.Errorf("the answer does not tell what became of document %d", i+1)
		}
		results[i] = r
	}
	return results, nil
}

// settle gives each record its end by the answer to a request.
func (d *Destination) settle(jobs []*relay.Job[*part], a *relay.Answer) {
	n := 0
	for _, j := range jobs {
		n += len(j.Value.lines)
	}
	results, err := parseAnswer(a.Body, n)
	if err != nil {
		if a.Cut {
			err = errors.New("the answer is too long")
		}
		// The documents may be there or not; a repeat finds out.
		fail(jobs, &relay.DeliverError{Class: relay.Bounded, Reason: "error", Status: a.Status, Err: err})
		return
	}
	for _, j := range jobs {
		mine := results[:len(j.Value.lines)]
		results = results[len(j.Value.lines):]
		j.Finals, j.Err = d.end(j.Value, mine)
	}
}

// end is a record's end by those of its documents. What has to be tried again
// wins: the repeat meets what was taken as 409.
func (d *Destination) end(p *part, results []result) ([]schemas.Final, error) {
	finals := append([]schemas.Final(nil), p.finals...)
	var again, refused *relay.DeliverError
	taken := 0
	for i, r := range results {
		de := d.fault(r)
		switch {
		case de == nil:
			taken++
		case de.Class == relay.Permanent:
			refused = de
			finals[p.docs[i].Item] = schemas.Final{Outcome: schemas.DeadLetter, Reason: de.Reason}
		case again == nil || de.Down:
			again = de
		}
	}
	switch {
	case again != nil:
		return nil, again
	case refused != nil && taken == 0:
		return nil, refused
	}
	return finals, nil
}

// fault says what the end of one document means; nil: it is stored.
func (d *Destination) fault(r result) *relay.DeliverError {
	said := r.Error.Type
	if reason, _, _ := strings.Cut(r.Error.Reason, "Preview of field's value"); reason != "" { // what a client sent stays out of logs
		said += ": " + reason
	}
	de := &relay.DeliverError{
		Class: relay.Permanent, Reason: relay.StatusReason(r.Status), Status: r.Status,
		Err: fmt.Errorf("document refused with %d %s", r.Status, relay.Printable(said, 500)),
	}
	switch {
	case r.Status >= 200 && r.Status < 300, r.Status == http.StatusConflict:
		return nil
	case r.Status == http.StatusTooManyRequests:
		de.Class = relay.Temporary
	case r.Status == http.StatusServiceUnavailable:
		de.Class, de.Down = relay.Temporary, true
	case r.Status == http.StatusForbidden && r.Error.Type == "cluster_block_exception":
		de.Class, de.Down, de.Alert = relay.Temporary, true, "index is blocked"
	case r.Status == http.StatusNotFound && r.Error.Type == "index_not_found_exception":
		de.Class, de.Down, de.Alert = relay.Temporary, true, "index is missing"
	case r.Status == http.StatusForbidden || r.Status == http.StatusUnauthorized:
		de.Alert = "credentials rejected"
	case r.Status >= 500 || r.Status < 400:
		de.Class = relay.Bounded
	}
	return de
}

// explain is the upstream's own word on a refused request.
func explain(body []byte) string {
	var e struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	if text, ok := schemas.UnquoteString([]byte(e.Error)); ok {
		return text
	}
	var cause struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	if json.Unmarshal(e.Error, &cause) != nil {
		return ""
	}
	return cause.Type + " " + cause.Reason
}
