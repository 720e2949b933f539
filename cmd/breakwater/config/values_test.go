package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/rs/zerolog"
)

func TestValues(t *testing.T) {
	tests := []struct {
		into encoding.TextUnmarshaler
		in   string
		want string // fmt.Sprint of the value; "" when it must be refused
	}{
		{new(Size), "0", "0B"},
		{new(Size), "4096", "4KiB"},
		{new(Size), "40MiB", "40MiB"},
		{new(Size), "40 MiB", "40MiB"},
		{new(Size), "1GB", "1000000000B"},
		{new(Size), "1536KiB", "1536KiB"},
		{new(Size), "12B", "12B"},
		{new(Size), "8388607TiB", "8388607TiB"},
		{new(Size), "8388608TiB", ""},
		{new(Size), "99999999999999999999", ""},
		{new(Size), "-1", ""},
		{new(Size), "1.5GiB", ""},
		{new(Size), "MiB", ""},
		{new(Size), "", ""},
		{new(Size), "1mib", ""},
		{new(Duration), "30s", "30s"},
		{new(Duration), "720h", "720h"},
		{new(Duration), "90m", "1h30m"},
		{new(Duration), "30d", "720h"},
		{new(Duration), "0s", "0s"},
		{new(Duration), "1h0m1s", "1h0m1s"},
		{new(Duration), "250ms", "250ms"},
		{new(Duration), "10m", "10m"},
		{new(Duration), "-1s", ""},
		{new(Duration), "30", ""},
		{new(Duration), "d", ""},
		{new(Duration), "99999d", ""},
		{new(Rate), "50/s", "50/s"},
		{new(Rate), "0.5/s", "0.5/s"},
		{new(Rate), "300/m", "300/m"},
		{new(Rate), "1000/h", "1000/h"},
		{new(Rate), "1000000/s", "1000000/s"},
		{new(Rate), "1000001/s", ""},
		{new(Rate), "0/s", ""},
		{new(Rate), "0.0/s", ""},
		{new(Rate), "5", ""},
		{new(Rate), "5/d", ""},
		{new(Rate), "-5/s", ""},
		{new(Rate), "1e3/s", ""},
		{new(Quota), "1000000/month", "1000000/month"},
		{new(Quota), "1_000_000/day", "1000000/day"},
		{new(Quota), "0/day", "0/day"},
		{new(Quota), "5/week", ""},
		{new(Quota), "99999999999999999999/day", ""},
		{new(Share), "0.5", "0.5"},
		{new(Share), "50%", "0.5"},
		{new(Share), "1", "1"},
		{new(Share), "0", "0"},
		{new(Share), "1.0001", ""},
		{new(Share), "101%", ""},
		{new(Share), "-0.1", ""},
		{new(Share), "NaN", ""},
		{new(Share), "half", ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T %s", tt.into, tt.in), func(t *testing.T) {
			err := tt.into.UnmarshalText([]byte(tt.in))
			if tt.want == "" {
				if err == nil {
					t.Error("accepted")
				}
				return
			}
			var got string
			switch v := tt.into.(type) {
			case *Share:
				got = fmt.Sprint(v.Float())
			case fmt.Stringer:
				got = v.String()
			}
			if err != nil || got != tt.want {
				t.Errorf("%s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestRatePerSecond(t *testing.T) {
	for text, want := range map[string]float64{"50/s": 50, "60/m": 1, "7200/h": 2} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || math.Abs(r.PerSecond()-want) > 1e-9 {
			t.Errorf("%s: %v, %v", text, r.PerSecond(), err)
		}
	}
	if (Rate{}).PerSecond() != 0 {
		t.Error("zero value has a rate")
	}
}

// The schema's patterns and the parsers are two tellings of one rule.
func TestPatternsFitTheParsers(t *testing.T) {
	tests := map[string]struct {
		parse func(string) error
		texts []string
	}{
		"size":     {func(s string) error { return new(Size).UnmarshalText([]byte(s)) }, []string{"1", "1MiB", "1 GB", "1B", "x", "1Mib", "1iB", "1.5MiB", "", "1TB"}},
		"duration": {func(s string) error { return new(Duration).UnmarshalText([]byte(s)) }, []string{"1s", "1h30m", "1d", "1.5h", "1", "x", "1d1h", "", "5us", "-1s", "+1s"}},
		"rate":     {func(s string) error { return new(Rate).UnmarshalText([]byte(s)) }, []string{"1/s", "1.5/m", "1", "/s", "1/d", "1/h", ""}},
		"quota":    {func(s string) error { return new(Quota).UnmarshalText([]byte(s)) }, []string{"1/day", "1_0/month", "_1/day", "1/week", ""}},
	}
	for name, tt := range tests {
		pattern, _ := Vocabulary(name)
		re := regexp.MustCompile(pattern)
		for _, text := range tt.texts {
			if ok := tt.parse(text) == nil; ok != re.MatchString(text) {
				t.Errorf("%s %q: parser says %v, pattern %v", name, text, ok, !ok)
			}
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const text = "hunter2"
	type holder struct {
		Token Secret `yaml:"token" json:"token"`
	}
	h := holder{text}
	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s", "%-10.3s"} {
		shown["secret "+verb] = fmt.Sprintf(verb, h.Token)
		shown["pointer "+verb] = fmt.Sprintf(verb, &h.Token)
		shown["struct "+verb] = fmt.Sprintf(verb, h)
		shown["list "+verb] = fmt.Sprintf(verb, []Secret{text})
	}
	j, err := json.Marshal(map[string]any{"h": h, "list": []Secret{text}})
	if err != nil {
		t.Fatal(err)
	}
	shown["JSON"] = string(j)
	y, err := yaml.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	shown["YAML"] = string(y)
	var log bytes.Buffer
	l := zerolog.New(&log)
	l.Info().Stringer("a", h.Token).Interface("b", h).Any("c", &h).Str("d", h.Token.String()).Msgf("%v", h)
	shown["log"] = log.String()
	for how, out := range shown {
		if strings.Contains(out, text) || strings.Contains(out, fmt.Sprintf("%x", text)) || strings.Contains(out, fmt.Sprintf("%X", text)) {
			t.Errorf("%s shows it: %s", how, out)
		}
	}
	if shown["JSON"] != `{"h":{"token":"***"},"list":["***"]}` {
		t.Errorf("JSON = %s", shown["JSON"])
	}
	if h.Token.Reveal() != text || Secret("").String() != "" {
		t.Error("Reveal or the empty secret is wrong")
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"40MiB", "1", "9223372036854775807", "1TiB", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var s Size
		if s.UnmarshalText([]byte(in)) != nil {
			return
		}
		var again Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s || s < 0 {
			t.Errorf("%q: %d, again %d, %v", in, s, again, err)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"30s", "1h0m1s", "30d", "0.5ns", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var d Duration
		if d.UnmarshalText([]byte(in)) != nil {
			return
		}
		var again Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d || d < 0 || d.Duration() != time.Duration(d) {
			t.Errorf("%q: %s, again %s, %v", in, d, again, err)
		}
	})
}
