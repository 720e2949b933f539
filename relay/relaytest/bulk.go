package relaytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Bulk is the bulk API of Elasticsearch as far as a gateway meets it, as
// strict as the real one: what makes a whole request malformed is answered
// 400, what is wrong with one document is that document's error alone. Give
// Options to an Upstream.
type Bulk struct {
	// Authorization is what requests must carry; "": anything but nothing is
	// asked for.
	Authorization string
	// DataStream says that the index is one: only create, and @timestamp.
	DataStream bool
	// Document decides what becomes of a document before it is stored: an HTTP
	// status and a word for the error; 0 stores it. Optional.
	Document func(id string, source []byte) (status int, word string)
	// MaxContent is the length from which requests are answered 413. 100 MiB.
	MaxContent int

	mu      sync.Mutex
	docs    map[string][]byte // by index/id
	order   []string
	fields  map[string]bool
	repeats int
}

// maxFields is index.mapping.total_fields.limit.
const maxFields = 1000

var indexName = regexp.MustCompile(`^[a-z0-9.][^A-Z\\/*?"<>| ,#:]{0,254}$`)

// Options are those of the upstream that plays the API.
func (b *Bulk) Options() Options {
	return Options{Raw: true, Expect: b.expect, Answer: func(r *Request) string { return r.answer }}
}

// bulkItem is one line of an answer.
type bulkItem struct {
	Index  string     `json:"_index,omitempty"`
	ID     string     `json:"_id,omitempty"`
	Status int        `json:"status"`
	Error  *bulkFault `json:"error,omitempty"`
}

type bulkFault struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// expect reads a request as Elasticsearch does, and stores what it may.
func (b *Bulk) expect(r *Request) error {
	if err := b.checkRequest(r); err != nil {
		return err
	}
	actions, err := b.parse(r.Body)
	if err != nil {
		return err
	}
	if !r.Step.Taken() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	failed, items := false, []map[string]bulkItem{}
	for _, a := range actions {
		it := b.apply(a)
		failed = failed || it.Error != nil
		if strings.Contains(r.Query, "filter_path=") {
			it.Index, it.ID = "", ""
		}
		items = append(items, map[string]bulkItem{a.op: it})
	}
	answer, err := json.Marshal(map[string]any{"errors": failed, "items": items})
	r.answer = string(answer)
	return err
}

func (b *Bulk) checkRequest(r *Request) error {
	limit := b.MaxContent
	if limit == 0 {
		limit = 100 << 20
	}
	ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case !strings.HasSuffix(r.Path, "/_bulk"):
		return refuse(http.StatusNotFound, "no handler found for uri [%s]", r.Path)
	case r.Method != http.MethodPost && r.Method != http.MethodPut:
		return refuse(http.StatusMethodNotAllowed, "incorrect HTTP method for uri [%s]", r.Path)
	case b.Authorization != "" && r.Header.Get("Authorization") != b.Authorization:
		return refuse(http.StatusUnauthorized, "unable to authenticate with provided credentials")
	case r.Header.Get("Cookie") != "":
		return errors.New("a Cookie was sent")
	case ct != "application/x-ndjson" && ct != "application/json":
		return refuse(http.StatusNotAcceptable, "Content-Type header [%s] is not supported", ct)
	case len(r.Body) > limit:
		return refuse(http.StatusRequestEntityTooLarge, "content too long")
	case len(r.Body) == 0:
		return errors.New("request body is required")
	case r.Body[len(r.Body)-1] != '\n':
		return errors.New(`the bulk request must be terminated by a newline [\n]`)
	}
	return nil
}

type bulkAction struct {
	op, index, id string
	source        []byte
}

// parse reads the lines of a request; any fault is that of the whole.
func (b *Bulk) parse(body []byte) (actions []bulkAction, err error) {
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	for i := 0; i < len(lines); i++ {
		a, err := parseAction(lines[i], i+1)
		if err != nil {
			return nil, err
		}
		if a.op != "delete" {
			if i++; i >= len(lines) {
				return nil, errors.New("validation failed: the last action has no source")
			}
			a.source = lines[i]
		}
		if len(a.id) > 512 {
			return nil, fmt.Errorf("validation failed: id [%s] is too long, must be no longer than 512 bytes", a.id[:20])
		}
		actions = append(actions, a)
	}
	return actions, nil
}

// parseAction reads {"create": {"_index": …, "_id": …}}.
func parseAction(line []byte, n int) (a bulkAction, err error) {
	dec := jsontext.NewDecoder(bytes.NewReader(line))
	malformed := func(what string) error { return fmt.Errorf("malformed action/metadata line [%d], %s", n, what) }
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return a, malformed("expected START_OBJECT")
	}
	tok, err := dec.ReadToken()
	if err != nil || tok.Kind() != '"' {
		return a, malformed("expected FIELD_NAME")
	}
	switch a.op = tok.String(); a.op {
	case "create", "index", "update", "delete":
	default:
		return a, malformed("expected field [create], [delete], [index] or [update] but found [" + a.op + "]")
	}
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return a, malformed("expected START_OBJECT or END_OBJECT")
	}
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			return a, malformed("unexpected end")
		}
		if tok.Kind() == '}' {
			break
		}
		name := tok.String()
		value, err := dec.ReadToken()
		if err != nil {
			return a, malformed("unexpected end")
		}
		switch name {
		case "_index":
			a.index = value.String()
		case "_id":
			a.id = value.String()
		default:
			return a, fmt.Errorf("action/metadata line [%d] contains an unknown parameter [%s]", n, name)
		}
	}
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '}' {
		return a, malformed("expected END_OBJECT")
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return a, malformed("something follows the action")
	}
	if a.index == "" {
		return a, errors.New("validation failed: index is missing")
	}
	return a, nil
}

// apply stores a document, or says why not; b.mu is held.
func (b *Bulk) apply(a bulkAction) bulkItem {
	it := bulkItem{Index: a.index, ID: a.id, Status: http.StatusCreated}
	no := func(status int, typ, reason string) bulkItem {
		it.Status, it.Error = status, &bulkFault{typ, reason}
		return it
	}
	var doc map[string]jsontext.Value
	if !indexName.MatchString(a.index) {
		return no(http.StatusBadRequest, "invalid_index_name_exception", "Invalid index name ["+a.index+"]")
	}
	if err := strictObject(a.source); err != nil {
		return no(http.StatusBadRequest, "document_parsing_exception", "failed to parse: "+err.Error())
	}
	if err := json.Unmarshal(a.source, &doc); err != nil {
		return no(http.StatusBadRequest, "document_parsing_exception", "failed to parse: "+err.Error())
	}
	switch {
	case b.DataStream && a.op != "create":
		return no(http.StatusBadRequest, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams")
	case b.DataStream && doc["@timestamp"] == nil:
		return no(http.StatusBadRequest, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing")
	}
	if b.Document != nil {
		if status, word := b.Document(a.id, a.source); status != 0 {
			return no(status, word, "as the test wants it")
		}
	}
	if b.docs == nil {
		b.docs, b.fields = map[string][]byte{}, map[string]bool{}
	}
	for name := range doc {
		b.fields[name] = true
	}
	if len(b.fields) > maxFields {
		return no(http.StatusBadRequest, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded")
	}
	key := a.index + "/" + a.id
	if _, there := b.docs[key]; there && a.op == "create" {
		b.repeats++
		return no(http.StatusConflict, "version_conflict_engine_exception", "["+a.id+"]: version conflict, document already exists")
	}
	b.docs[key] = bytes.Clone(a.source)
	b.order = append(b.order, key)
	return it
}

// strictObject demands one JSON object without repeated names.
func strictObject(line []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(line))
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() != '{' {
		return errors.New("not an object")
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

// Documents are the stored ones in their order, and how often one came again.
func (b *Bulk) Documents() (docs [][]byte, repeats int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range b.order {
		docs = append(docs, b.docs[key])
	}
	return docs, b.repeats
}

// Get is the document of an index with an id, nil without one.
func (b *Bulk) Get(index, id string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.docs[index+"/"+id]
}
