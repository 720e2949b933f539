package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// readAll reads an envelope as the gateway does, every payload into memory.
func readAll(r io.Reader) (*Envelope, error) {
	rd := NewReader(r)
	h, err := rd.Header()
	if err != nil {
		return nil, err
	}
	env := &Envelope{Header: h}
	for {
		ih, p, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return env, nil
		}
		if err != nil {
			return env, err
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return env, err
		}
		env.Items = append(env.Items, Item{Header: ih, Payload: Bytes(b)})
	}
}

func TestReaderGrammar(t *testing.T) {
	const ev, pad = `{"type":"event"}`, "\n"
	at := `{"type":"attachment","length":`
	big := strings.Repeat("x", 20<<10)
	tests := []struct {
		name  string
		in    string
		items []string // the payloads
		cause string   // of the EnvelopeError; "" means none
	}{
		{name: "empty object as header", in: "{}\n", items: []string{}},
		{name: "header without newline", in: `{"event_id":"x"}`, items: []string{}},
		{name: "header with newline", in: `{"event_id":"x"}` + pad, items: []string{}},
		{name: "text after the header", in: `{} {"type":"event"}` + pad, cause: CauseMissingNewline},
		{name: "two headers on a line", in: `{}{}`, cause: CauseMissingNewline},
		{name: "body begins with a newline", in: "\n{}\n", cause: CauseMissingHeader},
		{name: "blank header", in: " \t\r\n{}\n", cause: CauseMissingHeader},
		{name: "header is an array", in: "[]\n", cause: CauseInvalidHeader},
		{name: "header is a string", in: "\"x\"\n", cause: CauseInvalidHeader},
		{name: "header is null", in: "null\n", cause: CauseInvalidHeader},
		{name: "header is cut", in: `{"event_id":"x`, cause: CauseInvalidHeader},
		{name: "header over two lines", in: "{\n}\n", cause: CauseInvalidHeader},
		{name: "duplicate key in the header", in: `{"sent_at":"a","sent_at":"b"}`, cause: CauseInvalidHeader},
		{name: "duplicate key with an escape", in: `{"sent_at":"a","sent\u005fat":"b"}`, cause: CauseInvalidHeader},
		{name: "byte order mark", in: "\xef\xbb\xbf{}\n" + ev + pad + "x", items: []string{"x"}},
		{name: "item without type", in: "{}\n{\"length\":1}\nx", cause: CauseInvalidItem},
		{name: "item with empty type", in: "{}\n{\"type\":\"\"}\nx", cause: CauseInvalidItem},
		{name: "item type is a number", in: "{}\n{\"type\":1}\nx", cause: CauseInvalidItem},
		{name: "item header is not JSON", in: "{}\nhello\nx", cause: CauseInvalidItem},
		{name: "item header is an array", in: "{}\n[]\nx", cause: CauseInvalidItem},
		{name: "text after the item header", in: "{}\n" + ev + " x\ny", cause: CauseMissingNewline},
		{name: "two lengths", in: "{}\n{\"type\":\"a\",\"length\":1,\"length\":2}\nxy", cause: CauseInvalidItem},
		{name: "length and too few bytes", in: "{}\n" + at + "5}\nabc", cause: CauseUnexpectedEOF},
		{name: "length and no payload line", in: "{}\n" + at + "5}", cause: CauseUnexpectedEOF},
		{name: "length and nothing", in: "{}\n" + at + "5}\n", cause: CauseUnexpectedEOF},
		{name: "length and one byte too many", in: "{}\n" + at + "2}\nabc\n", cause: CauseMissingNewline},
		{name: "length exact, at the end", in: "{}\n" + at + "3}\nabc", items: []string{"abc"}},
		{name: "length exact, newline", in: "{}\n" + at + "3}\nabc\n", items: []string{"abc"}},
		{name: "length counts newlines", in: "{}\n" + at + "5}\na\n\nb\n\n" + ev + pad + "x", items: []string{"a\n\nb\n", "x"}},
		{name: "length in bytes, not characters", in: "{}\n" + at + "6}\nü€\x00\n", items: []string{"ü€\x00"}},
		{name: "length 0 and newline", in: "{}\n" + at + "0}\n\n" + ev + pad + "x", items: []string{"", "x"}},
		{name: "length 0 at the end", in: "{}\n" + at + "0}\n", items: []string{""}},
		{name: "length 0, end without newline", in: "{}\n" + at + "0}", items: []string{""}},
		{name: "length 0 and bytes", in: "{}\n" + at + "0}\nx\n", cause: CauseMissingNewline},
		{name: "no length, empty line", in: "{}\n" + ev + "\n\n" + ev + pad + "x", items: []string{"", "x"}},
		{name: "no length, header at the end", in: "{}\n" + ev, items: []string{""}},
		{name: "no length, header and newline at the end", in: "{}\n" + ev + pad, items: []string{""}},
		{name: "no length, carriage return belongs to the payload", in: "{}\n" + ev + "\n{}\r\n", items: []string{"{}\r"}},
		{name: "carriage return after the header", in: "{}\r\n" + ev + "\r\n{}\n", items: []string{"{}"}},
		{name: "one newline at the end", in: "{}\n" + ev + "\n{}\n", items: []string{"{}"}},
		{name: "many newlines at the end", in: "{}\n" + ev + "\n{}\n\n\n \n", items: []string{"{}"}},
		{name: "blank lines between items", in: "{}\n\n" + ev + "\n{}\n\n\n" + ev + "\nx", items: []string{"{}", "x"}},
		{name: "length as string", in: "{}\n" + at + "\"3\"}\nabc", cause: CauseInvalidItem},
		{name: "length negative", in: "{}\n" + at + "-1}\nabc", cause: CauseInvalidItem},
		{name: "length as float", in: "{}\n" + at + "3.0}\nabc", cause: CauseInvalidItem},
		{name: "length with exponent", in: "{}\n" + at + "3e0}\nabc", cause: CauseInvalidItem},
		{name: "length as object", in: "{}\n" + at + "{}}\nabc", cause: CauseInvalidItem},
		{name: "length of 33 bit", in: "{}\n" + at + "4294967296}\nabc", cause: CauseInvalidItem},
		{name: "length beyond the body", in: "{}\n" + at + "4294967295}\nabc", cause: CauseUnexpectedEOF},
		{name: "length null", in: "{}\n" + at + "null}\nabc\n" + ev + pad + "x", items: []string{"abc", "x"}},
		{name: "unknown item type", in: "{}\n{\"type\":\"from_the_future\",\"x\":1}\nabc", items: []string{"abc"}},
		{name: "newline in a payload without length", in: "{}\n" + ev + "\n{\"a\":\n1}\n", cause: CauseInvalidItem},
		{name: "header longer than the buffer", in: `{"x":"` + big + `"}` + pad + ev + pad + big, items: []string{big}},
		{name: "payload longer than the buffer", in: "{}\n" + at + "20480}\n" + big + pad + ev + pad + "x", items: []string{big, "x"}},
		{name: "long payload at the end", in: "{}\n" + at + "20480}\n" + big, items: []string{big}},
		{name: "header line too long", in: `{"x":"` + strings.Repeat("y", MaxHeaderLine) + `"}` + pad, cause: CauseHeaderTooLong},
		{name: "item header line too long", in: "{}\n" + `{"type":"` + strings.Repeat("y", MaxHeaderLine) + `"}` + pad, cause: CauseHeaderTooLong},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole":        func(r io.Reader) io.Reader { return r },
		"byte by byte": iotest.OneByteReader,
		"halves":       iotest.HalfReader,
		"data and EOF": iotest.DataErrReader,
	}
	for _, tt := range tests {
		for how, wrap := range readers {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				env, err := readAll(wrap(strings.NewReader(tt.in)))
				if tt.cause != "" {
					var ee *EnvelopeError
					if !errors.As(err, &ee) || ee.Cause != tt.cause {
						t.Fatalf("got %v, want the cause %q", err, tt.cause)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				got := []string{}
				for i := range env.Items {
					b, _ := env.Items[i].InMemory()
					got = append(got, string(b))
				}
				if diff := cmp.Diff(tt.items, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
	t.Run("empty body", func(t *testing.T) {
		if _, err := NewReader(strings.NewReader("")).Header(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want EOF", err)
		}
	})
}

// TestReaderTakesTheLastBytesWithTheEnd: net/http hands out the last bytes of
// a body together with io.EOF.
func TestReaderTakesTheLastBytesWithTheEnd(t *testing.T) {
	for _, size := range []int{100, 40_000} {
		head := fmt.Sprintf("{}\n{\"type\":\"attachment\",\"length\":%d}\n", size)
		payload := strings.Repeat("a", size)
		r := NewReader(&withEOF{parts: []string{head, payload}})
		if _, err := r.Header(); err != nil {
			t.Fatal(err)
		}
		_, p, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64<<10)
		n, err := io.ReadFull(p, buf)
		if !errors.Is(err, io.ErrUnexpectedEOF) || string(buf[:n]) != payload {
			t.Errorf("%d bytes of %d, %v", n, size, err)
		}
		if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("next: %v", err)
		}
	}
}

// withEOF returns each part in one read, the last one with io.EOF.
type withEOF struct{ parts []string }

func (w *withEOF) Read(b []byte) (int, error) {
	if len(w.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, w.parts[0])
	if w.parts[0] = w.parts[0][n:]; w.parts[0] == "" {
		w.parts = w.parts[1:]
	}
	if len(w.parts) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func TestReaderSkipsWhatWasNotRead(t *testing.T) {
	in := "{}\n{\"type\":\"attachment\",\"length\":40000}\n" + strings.Repeat("a", 40000) + "\n{\"type\":\"event\"}\n" + strings.Repeat("b", 30000) + "\n{\"type\":\"session\"}\nx"
	r := NewReader(strings.NewReader(in))
	if _, err := r.Header(); err != nil {
		t.Fatal(err)
	}
	var types []string
	for {
		h, p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, h.Type)
		if _, err := io.ReadFull(p, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"attachment", "event", "session"}, types); diff != "" {
		t.Error(diff)
	}
}

func TestReaderStaysAtItsError(t *testing.T) {
	r := NewReader(strings.NewReader("{}\n{\"type\":\"a\",\"length\":1}\nxy\n{\"type\":\"event\"}\n{}\n"))
	if _, err := r.Header(); err != nil {
		t.Fatal(err)
	}
	_, p, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	var ee *EnvelopeError
	if _, err := io.ReadAll(p); !errors.As(err, &ee) {
		t.Fatalf("payload: %v", err)
	}
	for range 3 {
		if _, _, err := r.Next(); !errors.As(err, &ee) || ee.Cause != CauseMissingNewline {
			t.Fatalf("next: %v", err)
		}
		if _, err := p.Read(make([]byte, 1)); !errors.As(err, &ee) {
			t.Fatalf("read: %v", err)
		}
	}
}

func TestReaderPassesOnTheInputsError(t *testing.T) {
	broken := errors.New("connection reset")
	whole := "{\"event_id\":\"x\"}\n{\"type\":\"a\",\"length\":5}\nabcde\n{\"type\":\"event\"}\n{}\n"
	for cut := range len(whole) {
		_, err := readAll(io.MultiReader(strings.NewReader(whole[:cut]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("cut at %d: got %v", cut, err)
		}
	}
}

// TestAtHand: a payload never promises more bytes than it has, and one that was
// read into the buffer with its header promises all.
func TestAtHand(t *testing.T) {
	text := "{}\n{\"type\":\"a\",\"length\":3}\nab\n\n{\"type\":\"b\"}\n\n{\"type\":\"c\"}\nline\n{\"type\":\"d\"}\n" + strings.Repeat("x", 100<<10)
	for name, in := range map[string]io.Reader{"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
		r := NewReader(in)
		if _, err := r.Header(); err != nil {
			t.Fatal(err)
		}
		for i, whole := range []bool{true, true, true, false} {
			_, p, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			known := p.(interface{ AtHand() int }).AtHand()
			got, err := io.ReadAll(p)
			if err != nil || known > len(got) || name == "at once" && whole && known != len(got) {
				t.Errorf("%s, item %d: promised %d, came %d: %v", name, i, known, len(got), err)
			}
			if left := p.(interface{ AtHand() int }).AtHand(); left != 0 {
				t.Errorf("%s, item %d: %d promised behind the end", name, i, left)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, b := range envelopeSeeds(f) {
		f.Add(b)
	}
	f.Add([]byte("{}\n{\"type\":\"a\",\"length\":3}\nabc\n\n"))
	f.Add([]byte("\xef\xbb\xbf{}\r\n{\"type\":\"a\"}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		env, err := readAll(bytes.NewReader(raw))
		slow, slowErr := readAll(iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(raw))))
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("the size of reads decides: %v, %v", err, slowErr)
		}
		if err != nil {
			var ee *EnvelopeError
			if !errors.As(err, &ee) && !errors.Is(err, io.EOF) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		var a, b bytes.Buffer
		if _, err := env.WriteTo(&a); err != nil {
			t.Fatal(err)
		}
		if _, err := slow.WriteTo(&b); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Fatal("the size of reads changes what is read")
		}
		again, err := readAll(bytes.NewReader(a.Bytes()))
		if err != nil || len(again.Items) != len(env.Items) {
			t.Fatalf("cannot read what was written: %v\n%q", err, a.Bytes())
		}
	})
}
