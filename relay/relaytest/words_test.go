package relaytest_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

func TestParseScript(t *testing.T) {
	limited := relaytest.Status(429, "Retry-After", "60", "X-Sentry-Rate-Limits", "60:error;session:key")
	for text, want := range map[string][]relaytest.Step{
		"":                           nil,
		"200x2":                      {relaytest.Status(200), relaytest.Status(200)},
		"503,slow:250ms reset\nlost": {relaytest.Status(503), {Delay: 250 * time.Millisecond}, {Fault: relaytest.ResetBefore}, {Fault: relaytest.ResetAfter}},
		"429:60:error;session:key":   {limited},
		"503:10x2":                   {relaytest.Status(503, "Retry-After", "10"), relaytest.Status(503, "Retry-After", "10")},
		"hang garbage refuse:5s":     {{Fault: relaytest.Hang}, {Fault: relaytest.Garbage}, {Fault: relaytest.Refuse, Delay: 5 * time.Second}},
	} {
		got, err := relaytest.ParseScript(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		for _, list := range [][]relaytest.Step{got, want} {
			for i := range list {
				if list[i].Header == nil {
					list[i].Header = http.Header{}
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
	for _, text := range []string{"maybe", "199", "600", "200x0", "200x99999999", "slow", "slow:2", "slow:-1s", "refuse", "reset:1", "503:soon", "x5"} {
		if steps, err := relaytest.ParseScript(text); err == nil {
			t.Errorf("%q was read as %+v", text, steps)
		} else if !strings.Contains(err.Error(), strings.TrimSuffix(text, "x5")) {
			t.Errorf("%q: the error does not name it: %v", text, err)
		}
	}
}
