package fleet

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"breakwater/ingest"
)

// Times that claims and owners are remembered by Redis.
const (
	// busyFor is how long a claim holds whose gateway died while it decided.
	busyFor = 30 * time.Second
	// quotaGrace is how long a quota's count outlives its period, for gateways
	// whose clocks are late.
	quotaGrace = time.Hour
)

// maxKey bounds what a step may be called, in bytes; a longer name is hashed.
const maxKey = 200

// encode writes steps as keys and arguments of steps.lua.
func (f *Fleet) encode(steps []ingest.Step, now time.Time) (keys []string, args []any) {
	keys = make([]string, 0, 2*len(steps))
	args = append(make([]any, 0, 3+8*len(steps)), f.prefix, f.name, len(steps))
	for i := range steps {
		s := &steps[i]
		name := s.Key
		if s.Private {
			name = f.private(name)
		} else {
			name = short(name)
		}
		key := func(kind string) string { return f.prefix + kind + ":" + name }
		after := s.After + 1
		switch s.Kind {
		case ingest.StepBucket:
			keys = append(keys, key("bucket"))
			args = append(args, "b", after, s.N, s.Rate, s.Burst)
		case ingest.StepItems:
			quota, limit := f.prefix+"quota:"+short(s.Quota.Key), s.Quota.Limit
			if s.Quota.Key == "" {
				limit = -1
			}
			ends := max(s.Quota.Until.Sub(now)+quotaGrace, time.Minute)
			keys = append(keys, key("items"), quota)
			args = append(args, "i", after, s.N, s.Rate, s.Burst, limit, s.Quota.Known, s.Quota.New, ends.Milliseconds(),
				f.prefix+"told:"+f.life+":"+short(s.Quota.Key), s.Quota.Told)
		case ingest.StepStorm:
			x := &s.Storm.Facts
			keys = append(keys, key("storm"), f.prefix+"storms")
			args = append(args, "s", after, s.Storm.Window.Milliseconds(), s.Storm.First, s.Storm.OneIn,
				x.Project, x.Fingerprint, x.Title, x.Release, x.Environment, x.Level, x.PublicKey)
		case ingest.StepClaim:
			keys = append(keys, key("claim"))
			args = append(args, "c", after, busyFor.Milliseconds())
		case ingest.StepOwner:
			keys = append(keys, key("owner"))
			args = append(args, "o", after, f.opts.OwnFor.Milliseconds())
		}
	}
	return keys, args
}

// short is a name, or its hash when it is too long for a key.
func short(name string) string {
	if len(name) <= maxKey {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// private is what Redis sees of personal data: 96 bits of a hash keyed with the
// salt.
func (f *Fleet) private(name string) string {
	h := hmac.New(sha256.New, *f.salt.Load())
	h.Write([]byte(name))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// decode reads what steps.lua answered.
func decode(steps []ingest.Step, reply any) ([]ingest.Answer, error) {
	rows, ok := reply.([]any)
	if !ok || len(rows) != len(steps) {
		return nil, fmt.Errorf("the script answered %T for %d steps", reply, len(steps))
	}
	answers := make([]ingest.Answer, len(steps))
	for i, row := range rows {
		r, ok := row.([]any)
		want := map[ingest.StepKind]int{ingest.StepBucket: 2, ingest.StepItems: 4, ingest.StepStorm: 3, ingest.StepClaim: 2, ingest.StepOwner: 3}[steps[i].Kind]
		if ok && len(r) == 1 && whole(r[0]) < 0 {
			continue // its condition failed
		}
		if !ok || len(r) != want {
			return nil, fmt.Errorf("step %d of kind %d was answered %v", i, steps[i].Kind, row)
		}
		a := &answers[i]
		a.Taken, a.Passed = true, whole(r[0]) == 1
		switch steps[i].Kind {
		case ingest.StepBucket:
			a.Wait = time.Duration(whole(r[1])) * time.Millisecond
		case ingest.StepItems:
			a.Wait, a.ByQuota, a.Used = time.Duration(whole(r[1]))*time.Millisecond, whole(r[2]) == 1, whole(r[3])
		case ingest.StepStorm:
			a.Count, a.Since = whole(r[1]), whole(r[2])
		case ingest.StepClaim:
			a.Pending = whole(r[1]) == 1
		case ingest.StepOwner:
			a.Pending = whole(r[1]) == 1
			a.Owner, _ = r[2].(string)
		}
	}
	return answers, nil
}

func whole(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case string:
		i, _ := strconv.ParseInt(n, 10, 64) // what is no number is none
		return i
	}
	return 0
}
