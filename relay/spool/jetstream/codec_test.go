package jetstream

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater/schemas"
)

func encoded(t testing.TB, rec *schemas.Record, carried map[string]mark) []byte {
	t.Helper()
	rec.Meta.ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	raw, err := encodeRecord(rec, rec.Meta.Destinations, carried, nil)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What the network brings is no reason to fall over: a message is read or
// refused, and one that was read is written and read again as the same.
func FuzzDecodePack(f *testing.F) {
	carried := map[string]mark{"c": {Kind: kindDead, Reason: "http_400"}}
	f.Add(encodePack("life", "shop", encoded(f, record([]string{"a", "b"}, "x"), nil), encoded(f, record([]string{"a"}, "y", "z"), carried)))
	small, _ := plain("life", "shop", encoded(f, record([]string{"a"}, "x"), nil))
	f.Add(small)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePack(data)
		if err != nil {
			return
		}
		for i := range p.records {
			r := &p.records[i]
			if _, err := r.decodeMeta(); err != nil {
				continue
			}
			env, err := r.envelope(func(object) schemas.Body { return schemas.Bytes("apart") })
			if err != nil || r.env == nil {
				continue
			}
			again, err := r.again(r.targets, r.carried)
			if err != nil {
				continue // a payload named twice, or a header without a type
			}
			back, err := decodeRecord(again)
			if err != nil {
				t.Fatalf("a record that was written anew cannot be read: %v", err)
			}
			env2, err := back.envelope(func(object) schemas.Body { return schemas.Bytes("apart") })
			if err != nil || len(env2.Items) != len(env.Items) || back.id != r.id {
				t.Fatalf("a record changed when it was written anew: %v", err)
			}
		}
	})
}

func FuzzDecodeMarks(f *testing.F) {
	m, err := marks{{0, "a"}: {Kind: kindDone}, {1, "a"}: {Kind: kindDone}, {3, "a"}: {Kind: kindDone}, {2, ""}: {Kind: kindMoved, To: 7}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m, 4)
	f.Add([]byte(`[{"d":"a","i":"0-99999999","k":"done"}]`), 3)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		m, err := decodeMarks(data, n)
		if err != nil {
			return
		}
		raw, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeMarks(raw, n)
		if err != nil || !maps.EqualFunc(m, back, mark.equal) {
			t.Fatalf("%v became %v (%v)", m, back, err)
		}
	})
}

// Marks come back as they were, and equal ones are written once.
func TestMarks(t *testing.T) {
	m := marks{}
	for i := range 300 {
		m[place{i, "a"}] = mark{Kind: kindDone}
	}
	m[place{7, "a"}] = mark{Kind: kindDead, Reason: "http_400"}
	m[place{9, "b"}] = mark{Kind: kindWait, Due: time.Now().UnixMilli(), Attempts: 3, Reason: "http_503"}
	m[place{11, "b"}] = done([]schemas.Final{{Outcome: schemas.RateLimited, Reason: "upstream_limit"}})
	m[place{12, ""}] = mark{Kind: kindMoved, To: 1 << 60}
	raw, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 500 {
		t.Errorf("%d bytes for %d marks", len(raw), len(m))
	}
	back, err := decodeMarks(raw, 300)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(fmt.Sprint(m), fmt.Sprint(back)); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{`[{"d":"a","i":"3-1","k":"done"}]`, `[{"d":"a","i":"300","k":"done"}]`, `[{"d":"a","i":"","k":"done"}]`, `nonsense`} {
		if _, err := decodeMarks([]byte(bad), 300); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

// No two names have the same token, and a token is one part of a subject.
func TestTokens(t *testing.T) {
	for name, want := range map[string]string{"shop-web_1": "shop-web_1", "a.b": "=612e62", "": "=", "ü *>": "=c3bc202a3e"} {
		if got := token(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
}

// A message of another version is given back, not read.
func TestOtherVersion(t *testing.T) {
	data := encodePack("life", "shop", encoded(t, record([]string{"a"}, "x"), nil))
	data[len(magic)-1]++
	if _, err := decodePack(data); err == nil {
		t.Error("it was read")
	}
}
