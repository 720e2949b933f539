package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as "40MiB", "1GB" or "4096".
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// sizePattern, like its siblings below, is both what is accepted here and the
// pattern in the JSON Schema.
const sizePattern = `^[0-9]+ ?([KMGT]i?B|B)?$`

var errSize = errors.New("is not a size; write a whole number and a unit, such as 40MiB or 10GiB")

// UnmarshalText reads a size. Units are B, KB, MB, GB, TB (powers of 1000) and
// KiB, MiB, GiB, TiB (powers of 1024); a bare number counts bytes.
func (s *Size) UnmarshalText(text []byte) error {
	in := strings.TrimSpace(string(text))
	factor := int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(in, u.name); ok {
			in, factor = strings.TrimSuffix(rest, " "), u.bytes
			break
		}
	}
	if in == "" || strings.Trim(in, "0123456789") != "" {
		return errSize
	}
	n, err := strconv.ParseInt(in, 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return errors.New("is too large for a size; write less than 8388608TiB")
	}
	*s = Size(n * factor)
	return nil
}

// String is the size in the largest unit that needs no fraction.
func (s Size) String() string {
	for _, u := range sizeUnits[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText writes what String says.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Bytes is the size as a plain number.
func (s Size) Bytes() int64 { return int64(s) }

// Duration is a span of time, written as Go does ("30s", "1h30m", "250ms"), or
// in days ("30d").
type Duration time.Duration

const durationPattern = `^([0-9]+d|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`

var errDuration = errors.New("is not a duration; write a number and a unit, such as 250ms, 30s, 10m, 720h or 30d")

// UnmarshalText reads a duration of zero or more.
func (d *Duration) UnmarshalText(text []byte) error {
	in := strings.TrimSpace(string(text))
	if days, ok := strings.CutSuffix(in, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return errDuration
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(in)
	if err != nil || strings.HasPrefix(in, "+") {
		return errDuration
	}
	if v < 0 {
		return errors.New("must not be negative; write it without the sign")
	}
	*d = Duration(v)
	return nil
}

// String is Go's form without zero parts: "720h", not "720h0m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes what String says.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Duration is the same for Go's time package.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// Rate is so many in so much time, written as "50/s", "300/m" or "1000/h".
type Rate struct {
	// Count is how many, above zero; it may have a fraction.
	Count float64
	// Per is one second, one minute or one hour.
	Per time.Duration
}

const ratePattern = `^[0-9]+(\.[0-9]+)?/(s|m|h)$`

var rateRe = regexp.MustCompile(ratePattern)

// maxRate is the highest rate per second: above it a bucket's clock of whole
// nanoseconds would be too coarse.
const maxRate = 1e6

// UnmarshalText reads a rate; it refuses zero and more than a million a second.
func (r *Rate) UnmarshalText(text []byte) error {
	in := strings.TrimSpace(string(text))
	if !rateRe.MatchString(in) {
		return errors.New("is not a rate; write a number per s, m or h, such as 50/s")
	}
	count, unit, _ := strings.Cut(in, "/")
	n, err := strconv.ParseFloat(count, 64)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	switch {
	case err != nil || n/per.Seconds() > maxRate:
		return fmt.Errorf("is more than a rate can be; write at most %.0f/s", float64(maxRate))
	case n == 0:
		return errors.New("must be above zero; write a number such as 50/s, or 1/h for hardly any")
	}
	*r = Rate{Count: n, Per: per}
	return nil
}

// String is the rate as it is written.
func (r Rate) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
	return strconv.FormatFloat(r.Count, 'f', -1, 64) + "/" + unit
}

// MarshalText writes what String says.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// PerSecond is the rate in events a second; 0 for the zero value.
func (r Rate) PerSecond() float64 {
	if r.Per <= 0 {
		return 0
	}
	return r.Count / r.Per.Seconds()
}

// Quota is so many in a calendar period (UTC), written as "1000000/month".
type Quota struct {
	// Count is how many; 0 refuses the category altogether.
	Count int64
	// Per is "day" or "month".
	Per string
}

const quotaPattern = `^[0-9][0-9_]*/(day|month)$`

var quotaRe = regexp.MustCompile(quotaPattern)

// UnmarshalText reads a quota; underscores may group the digits.
func (q *Quota) UnmarshalText(text []byte) error {
	in := strings.TrimSpace(string(text))
	if !quotaRe.MatchString(in) {
		return errors.New("is not a quota; write a number per day or month, such as 1000000/month")
	}
	count, per, _ := strings.Cut(in, "/")
	n, err := strconv.ParseInt(strings.ReplaceAll(count, "_", ""), 10, 64)
	if err != nil {
		return errors.New("is too large for a quota; write at most 9223372036854775807")
	}
	*q = Quota{Count: n, Per: per}
	return nil
}

// String is the quota as it is written.
func (q Quota) String() string { return strconv.FormatInt(q.Count, 10) + "/" + q.Per }

// MarshalText writes what String says.
func (q Quota) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// Share is a part of a whole from 0 to 1, written as "0.5" or "50%".
type Share float64

const sharePattern = `^[0-9]+(\.[0-9]+)?%$`

// UnmarshalText reads a share; it refuses what is not between 0 and 1.
func (s *Share) UnmarshalText(text []byte) error {
	in, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	n, err := strconv.ParseFloat(in, 64)
	if err != nil || math.IsNaN(n) {
		return errors.New("is not a share; write a number from 0 to 1 or a percentage, such as 0.25 or 25%")
	}
	if percent {
		n /= 100
	}
	if n < 0 || n > 1 {
		return errors.New("must be between 0 and 1; write a number such as 0.25, or a percentage such as 25%")
	}
	*s = Share(n)
	return nil
}

// Float is the share as a plain number.
func (s Share) Float() float64 { return float64(s) }
