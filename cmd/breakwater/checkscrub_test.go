package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
)

// What `check scrub` shows is what scrubbing does: of every item and header of
// an envelope, of a single event, and of a recording as a browser packs it.
func TestCheckScrub(t *testing.T) {
	var packed bytes.Buffer
	zw := zlib.NewWriter(&packed)
	if _, err := zw.Write([]byte(`[{"type":3,"data":{"text":"card 4111111111111111"}}]`)); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	recording := `{"segment_id":0}` + "\n" + packed.String()
	dir := t.TempDir()
	check := func(t *testing.T, body string, args ...string) (list []scrubbed, faults string) {
		t.Helper()
		path := filepath.Join(dir, "body")
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		if run(append([]string{"check", "scrub", path}, args...), &out, &errs) != exitGood {
			return nil, errs.String()
		}
		if err := json.Unmarshal(out.Bytes(), &list); err != nil {
			t.Fatalf("what a pipe gets is not JSON: %v\n%s", err, out.String())
		}
		return list, ""
	}
	line := func(list []scrubbed) string {
		var words []string
		for _, r := range list {
			w := r.Type
			for _, h := range r.Hits {
				w += " " + h.Path + "=" + h.Rule
			}
			if r.Opaque {
				w += " opaque"
			}
			words = append(words, w)
		}
		return strings.Join(words, "; ")
	}
	envelope := `{"trace":{"user":{"token":"x"}}}` + "\n" +
		`{"type":"event"}` + "\n" + `{"message":"card 4111 1111 1111 1111","extra":{"password":"hunter2"}}` + "\n" +
		`{"type":"attachment","filename":"/home/jane/log.txt","length":3}` + "\n\xff\x00\x1b\n" +
		`{"type":"replay_recording","length":` + strconv.Itoa(len(recording)) + "}\n" + recording + "\n" +
		`{"type":"client_report"}` + "\n" + `{"discarded_events":[],"secret":"x"}` + "\n"
	for _, c := range []struct{ name, body, want, before, after string }{
		{
			"an event", `{"extra":{"password":"hunter2"}}`, "event extra.password=password", "hunter2", "[Filtered]",
		},
		{
			"an envelope", envelope,
			"header of the envelope trace.user.token=password; event message=creditcard extra.password=password; header of attachment filename=userpath; " +
				"attachment opaque; replay_recording 0.data.text=creditcard; client_report secret=password", "x", "[Filtered]",
		},
		{"a recording", recording, "replay_recording 0.data.text=creditcard", "card 4111111111111111", "card [Filtered]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, faults := check(t, c.body)
			if got := line(list); got != c.want {
				t.Fatalf("got  %s\nwant %s\n%s", got, c.want, faults)
			}
			if !strings.Contains(list[0].Before, c.before) || strings.Contains(list[0].After, c.before+`"`) || !strings.Contains(list[0].After, c.after) {
				t.Errorf("before %q, after %q", list[0].Before, list[0].After)
			}
			for _, r := range list {
				if r.Type == "attachment" && r.After != "(3 bytes that are no text)" {
					t.Errorf("an attachment is shown as %q", r.After)
				}
			}
		})
	}
	t.Run("of another type", func(t *testing.T) {
		if list, _ := check(t, `{"items":[{"body":"x@example.com"}]}`, "--type", "log"); line(list) != "log items.0.body=email" {
			t.Errorf("got %s", line(list))
		}
	})
	for _, bad := range []string{"", "hello", "\x1f\x8b\x08"} {
		if list, faults := check(t, bad); list != nil || !strings.Contains(faults, "neither an envelope") {
			t.Errorf("%q: %v, %q", bad, list, faults)
		}
	}
}
