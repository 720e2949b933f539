package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// TestEnvelopeRoundTrip: what was not edited leaves as it came. Only "length"
// is added, and one newline after each header and payload.
func TestEnvelopeRoundTrip(t *testing.T) {
	n := 0
	for _, f := range fixtures(t) {
		if !f.isEnvelope() {
			continue
		}
		n++
		raw := f.body(t)
		env, err := readAll(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", f.ID, err)
		}
		var types []string
		for i := range env.Items {
			types = append(types, env.Items[i].Header.Type)
		}
		if diff := cmp.Diff(f.ItemTypes, types); diff != "" {
			t.Errorf("%s: item types: %s", f.ID, diff)
		}
		header := append([]byte(nil), env.Header.Bytes()...)
		if !bytes.HasPrefix(raw, header) {
			t.Errorf("%s: the header changed", f.ID)
		}
		var headers []string
		for i := range env.Items {
			headers = append(headers, string(env.Items[i].Header.Bytes()))
			if !bytes.Contains(raw, env.Items[i].Header.Bytes()) {
				t.Errorf("%s: item header %d changed", f.ID, i)
			}
		}
		var out bytes.Buffer
		written, err := env.WriteTo(&out)
		if err != nil || written != int64(out.Len()) {
			t.Fatalf("%s: wrote %d, counted %d: %v", f.ID, out.Len(), written, err)
		}
		again, err := readAll(bytes.NewReader(out.Bytes()))
		if err != nil {
			t.Fatalf("%s: reading what was written: %v", f.ID, err)
		}
		if len(again.Items) != len(env.Items) || !bytes.Equal(again.Header.Bytes(), header) {
			t.Fatalf("%s: header or number of items differs", f.ID)
		}
		for i := range env.Items {
			a, _ := env.Items[i].InMemory()
			b, _ := again.Items[i].InMemory()
			if !bytes.Equal(a, b) {
				t.Errorf("%s: payload %d differs", f.ID, i)
			}
			if !bytes.Contains(raw, a) {
				t.Errorf("%s: payload %d is not in the request", f.ID, i)
			}
			h := again.Items[i].Header
			if h.Length != int64(len(a)) {
				t.Errorf("%s: length %d of item %d, payload has %d bytes", f.ID, h.Length, i, len(a))
			}
			var was, is map[string]any
			if json.Unmarshal([]byte(headers[i]), &was) != nil || json.Unmarshal(h.Bytes(), &is) != nil {
				t.Fatalf("%s: item header %d", f.ID, i)
			}
			delete(was, "length")
			delete(is, "length")
			if diff := cmp.Diff(was, is); diff != "" {
				t.Errorf("%s: item header %d: %s", f.ID, i, diff)
			}
		}
		var twice bytes.Buffer
		if _, err := again.WriteTo(&twice); err != nil || !bytes.Equal(twice.Bytes(), out.Bytes()) {
			t.Errorf("%s: writing again differs (%v)", f.ID, err)
		}
	}
	if n < 200 {
		t.Errorf("only %d envelopes among the fixtures", n)
	}
}

// opener is a payload that is not in memory.
type opener struct {
	b   []byte
	err error
}

func (o opener) Size() int64 { return int64(len(o.b)) }

func (o opener) Open() (io.ReadCloser, error) {
	if o.err != nil {
		return nil, o.err
	}
	return io.NopCloser(bytes.NewReader(o.b)), nil
}

func TestWriteToStreamsAndReportsErrors(t *testing.T) {
	payload := make([]byte, 100_000)
	rand.New(rand.NewSource(1)).Read(payload)
	env := &Envelope{Header: EmptyHeader(), Items: []Item{
		{Header: NewItemHeader("attachment", "filename", "a \"b\".bin"), Payload: opener{b: payload}},
		{Header: NewItemHeader("event"), Payload: Bytes(`{}`)},
	}}
	var out bytes.Buffer
	if _, err := env.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	again, err := readAll(&out)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := again.Items[0].InMemory(); !bytes.Equal(b, payload) || again.Items[0].Header.Filename() != `a "b".bin` {
		t.Error("the streamed payload or its name differs")
	}
	if b, _ := again.Items[1].InMemory(); string(b) != "{}" {
		t.Errorf("second payload %q", b)
	}
	full := errors.New("disk full")
	env.Items[0].Payload = opener{err: full}
	if _, err := env.WriteTo(io.Discard); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	env.Items[0].Payload = opener{b: payload}
	for limit := range 200 {
		if _, err := env.WriteTo(&limited{left: limit, err: full}); !errors.Is(err, full) {
			t.Fatalf("writer that takes %d bytes: got %v", limit, err)
		}
	}
}

func TestWriteToChangesNothing(t *testing.T) {
	env, err := readAll(strings.NewReader("{}\n{\"type\":\"event\"}\nabc\n{\"type\":\"event\",\"length\":3,\"x\":1}\nabc\n"))
	if err != nil {
		t.Fatal(err)
	}
	env.Items[1].Payload = Bytes("longer")
	env.Header.Set("trace", jsontext.Value("{\n \"a\": 1\r\n}"))
	want := "{\"trace\":{  \"a\": 1\r }}\n{\"type\":\"event\",\"length\":3}\nabc\n{\"type\":\"event\",\"length\":6,\"x\":1}\nlonger\n"
	var wg sync.WaitGroup
	for range 8 { // the race detector watches
		wg.Go(func() {
			var out bytes.Buffer
			if _, err := env.WriteTo(&out); err != nil || out.String() != want {
				t.Errorf("%v\n got %q\nwant %q", err, out.String(), want)
			}
		})
	}
	wg.Wait()
	if got := string(env.Items[0].Header.Bytes()); got != `{"type":"event"}` {
		t.Errorf("the header became %s", got)
	}
}

type limited struct {
	left int
	err  error
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.left {
		n := l.left
		l.left = 0
		return n, l.err
	}
	l.left -= len(b)
	return len(b), nil
}
