package limit

import (
	"math"
	"testing"

	"breakwater/schemas"
)

func TestParseRate(t *testing.T) {
	for in, want := range map[string]float64{
		"50/s": 50, " 0.5 / s ": 0.5, "300/m": 5, "3600/h": 1, "1000000/s": 1e6, "0/s": 0, "120/MIN": 2,
	} {
		if got, err := ParseRate(in); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "50", "/s", "50/", "50/day", "-1/s", "NaN/s", "inf/s", "2000000/s", "1/s/s", "x/s"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("%q was read as %v", in, got)
		}
	}
}

func TestParseQuota(t *testing.T) {
	for in, want := range map[string]Quota{
		"1000000/month": {1000000, Month}, "50_000/day": {50000, Day}, "0/month": {0, Month}, " 5 / Month": {5, Month},
	} {
		if got, err := ParseQuota(in); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "5", "-5/month", "1.5/month", "5/year", "99999999999999999999/day", "/month"} {
		if got, err := ParseQuota(in); err == nil {
			t.Errorf("%q was read as %v", in, got)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for name, c := range map[string]Config{
		"negative rate":    {PerKey: Rate{PerSecond: -1}},
		"not a number":     {PerKey: Rate{PerSecond: math.NaN()}},
		"too fast":         {PerKey: Rate{PerSecond: 2 * MaxRate}},
		"burst alone":      {PerKey: Rate{Burst: 5}},
		"negative burst":   {PerKey: Rate{PerSecond: 1, Burst: -5}},
		"unknown category": {Categories: map[schemas.Category]Rate{"errors": {PerSecond: 1}}},
		"client reports":   {Quota: map[schemas.Category]Quota{"internal": {1, Month}}},
		"negative quota":   {Quota: map[schemas.Category]Quota{"error": {-1, Month}}},
		"no period":        {Quota: map[schemas.Category]Quota{"error": {Limit: 1}}},
	} {
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good := Config{
		PerKey:     Rate{PerSecond: 500, Burst: 2000},
		Categories: map[schemas.Category]Rate{"error": {PerSecond: 100, Burst: 1000}, "session": {}},
		Quota:      map[schemas.Category]Quota{"error": {1000000, Month}},
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"50/s", "300/m", "1000000/month", "1e309/s", "0x10/s", "1__0/day"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseRate(s); err == nil {
			if err := (Rate{PerSecond: r}).Validate(); err != nil {
				t.Errorf("%q gives a rate that is not valid: %v", s, err)
			}
		}
		if q, err := ParseQuota(s); err == nil && (q.Limit < 0 || q.Period == "") {
			t.Errorf("%q gives %+v", s, q)
		}
	})
}
