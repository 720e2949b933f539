package schemas

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeCrash(t *testing.T) {
	raw, err := os.ReadFile("testdata/crash/valid/full.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := DecodeCrash(raw)
	if err != nil || len(c.Reports) != 1 || len(c.Rejected) > 0 || c.Batch {
		t.Fatalf("%+v %v", c, err)
	}
	r := c.Reports[0]
	ts, ok := r.Time()
	if r.EventID() != "9ec79c33ec9942ab8353589fcb2e04dc" || r.Platform != "react-native" || r.Dist != "45" || r.Tags["screen"] != "Cart" ||
		!ok || !ts.Equal(time.UnixMicro(1795470350758000)) || string(r.Device["model"]) != `"Pixel 9"` ||
		len(r.Exceptions) != 1 || *r.Exceptions[0].Handled || !strings.Contains(r.Exceptions[0].Stack, "index.android.bundle") {
		t.Errorf("%+v", r)
	}
	c, err = DecodeCrash([]byte(`{"sent_at":"2026-11-24T03:00:00+01:00","reports":[{"message":"a","id":"9EC79C33-EC99-42AB-8353-589FCB2E04DC"},{"message":1,"id":"00000000-0000-0000-0000-00000000000A"},{"message":"b","tags":{"big":9007199254740993}},7]}`))
	if err != nil || !c.Batch || !c.SentAt.Equal(time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v %v", c, err)
	}
	reports := c.Reports
	if len(reports) != 2 || reports[1].Index != 2 || reports[0].EventID() != "9ec79c33ec9942ab8353589fcb2e04dc" || reports[1].EventID() != "" || reports[1].Tags["big"] != "9007199254740993" {
		t.Errorf("%+v %v", reports, err)
	}
	want := []RejectedCrash{{1, "0000000000000000000000000000000a", RejectedReport, "message: must not be a number like this"}, {3, "", RejectedReport, "report: must not be a number like this"}}
	if diff := cmp.Diff(want, c.Rejected); diff != "" {
		t.Error(diff)
	}
	if _, ok := reports[0].Time(); ok {
		t.Error("a report without time")
	}
}

func TestDecodeCrashCauses(t *testing.T) {
	for in, want := range map[string]string{
		`{"exceptions":[{"type":"E","stack":[1]}]}`:                            "exceptions[0].stack: must not be a list",
		`{"message":"a","tags":{"x":{}}}`:                                      "tags.x: must not be a value of this kind",
		`{"message":"a","level":"loud"}`:                                       "level: one of fatal error warning info debug",
		`{"platform":"ios"}`:                                                   "message: a message or an exception is required",
		`{"exceptions":[{}]}`:                                                  "exceptions[0].type: a type, a value or a stack is required",
		`{"message":"a","id":"x"}`:                                             "id: 32 hex digits or a UUID",
		`{"message":"a","timestamp":"x"}`:                                      "timestamp: seconds since 1970 or RFC 3339",
		`{"message":"` + strings.Repeat("x", 9000) + `"}`:                      "message: at most 8192",
		`{"message":"a","exceptions":[{"type":"E","frames":[{"lineno":-1}]}]}`: "exceptions[0].frames[0].lineno: at least 0",
	} {
		c, err := DecodeCrash([]byte(in))
		if err != nil || len(c.Rejected) != 1 || c.Rejected[0].Cause != want {
			t.Errorf("%.60s: %+v %v, want %q", in, c, err, want)
		}
	}
	for in, want := range map[string]error{"": ErrCrashEmpty, " \n": ErrCrashEmpty, strings.Repeat("[", 200): ErrCrashDepth, "{} x": ErrTrailing, "hello": nil, `{"a`: nil} {
		if c, err := DecodeCrash([]byte(in)); err == nil || c != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%.20q: %v", in, err)
		}
	}
}

func FuzzCrash(f *testing.F) {
	files, _ := filepath.Glob("testdata/crash/*/*.json")
	for _, file := range files {
		if raw, err := os.ReadFile(file); err == nil && len(raw) < 4096 {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := DecodeCrash(raw)
		if err != nil {
			if c != nil {
				t.Fatal("reports beside an error")
			}
			return
		}
		if len(c.Reports) > MaxCrashReports {
			t.Fatal("unbounded")
		}
		for _, r := range c.Reports {
			r.Shift(time.Hour)
			if id := r.EventID(); id != "" && len(id) != 32 || r.Message == "" && len(r.Exceptions) == 0 {
				t.Fatalf("%+v", r)
			}
		}
		for _, r := range c.Rejected {
			if r.Cause == "" || len(r.Cause) > 400 {
				t.Fatalf("%+v", r)
			}
		}
	})
}
