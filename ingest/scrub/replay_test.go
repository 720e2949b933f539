package scrub

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
)

func deflate(tb testing.TB, s string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestRecording(t *testing.T) {
	const (
		head  = `{"segment_id":0}` + "\n"
		dirty = `[{"type":3,"data":{"source":0,"adds":[{"node":{"type":2,"tagName":"input","attributes":{"class":"auth-form","value":"my secret","data-token":"abc","href":"/p?password=x"},"textContent":"mail x@example.com","childNodes":[]}}]},"timestamp":1795470242856},` +
			`{"type":3,"data":{"node":{"textContent":".password { color: red; }","isStyle":true}}},{"type":5,"data":{"tag":"breadcrumb","payload":{"category":"console","message":"my password","data":{"secret":"x"}}}}]`
		scrubbed = `[{"type":3,"data":{"source":0,"adds":[{"node":{"type":2,"tagName":"input","attributes":{"class":"auth-form","value":"[Filtered]","data-token":"[Filtered]","href":"/p?password=[Filtered]"},"textContent":"mail [email]","childNodes":[]}}]},"timestamp":1795470242856},` +
			`{"type":3,"data":{"node":{"textContent":".password { color: red; }","isStyle":true}}},{"type":5,"data":{"tag":"breadcrumb","payload":{"category":"console","message":"[Filtered]","data":{"secret":"[Filtered]"}}}}]`
		clean = `[{"type":4,"data":{"href":"/","width":1}}]`
	)
	r := mustCompile(t, everything())
	t.Run("plain", func(t *testing.T) {
		out, _, err := r.Item("replay_recording", []byte(head+dirty))
		if err != nil || string(out) != head+scrubbed {
			t.Fatalf("%v\n got %s\nwant %s", err, out, head+scrubbed)
		}
	})
	t.Run("deflated", func(t *testing.T) {
		out, hits, err := r.Item("replay_recording", append([]byte(head), deflate(t, dirty)...))
		if err != nil || !bytes.HasPrefix(out, []byte(head)) || string(inflated(t, out)) != scrubbed || len(hits) == 0 {
			t.Fatal(err, string(out))
		}
		again, hits, err := r.Item("replay_recording", out)
		if err != nil || !sameSlice(again, out) || len(hits) > 0 {
			t.Fatal("a second run changed it", hits, err)
		}
	})
	t.Run("clean ones are not packed again", func(t *testing.T) {
		in := append([]byte(head), deflate(t, clean)...)
		if out, _, err := r.Item("replay_recording", in); err != nil || !sameSlice(out, in) {
			t.Fatal("changed", err)
		}
	})
	t.Run("without its first line", func(t *testing.T) {
		if out, _, err := r.Item("replay_recording", []byte(dirty)); err != nil || string(out) != scrubbed {
			t.Fatal(string(out), err)
		}
	})
	for name, in := range map[string][]byte{
		"not zlib":       []byte(head + "garbage"),
		"cut":            append([]byte(head), deflate(t, dirty)[:40]...),
		"not JSON":       append([]byte(head), deflate(t, "hello")...),
		"tail":           append(append([]byte(head), deflate(t, dirty)...), "tail"...),
		"bomb":           append([]byte(head), deflate(t, `"`+strings.Repeat(" ", 8<<20)+`"`)...),
		"bad first line": []byte("{segment}\n" + clean),
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := r.Item("replay_recording", in)
			if !errors.Is(err, ErrOpaque) || !bytes.Equal(out, in) {
				t.Fatalf("error %v", err)
			}
		})
	}
}
