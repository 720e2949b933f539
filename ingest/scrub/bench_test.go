package scrub

import (
	"testing"

	"breakwater/schemas"
)

// BenchmarkFixtures scrubs every JSON item of the captured traffic with all
// built-in rules on.
func BenchmarkFixtures(b *testing.B) {
	r := mustCompile(b, everything())
	var payloads []sample
	size := 0
	for _, s := range fixtures(b) {
		if !opaqueTypes[s.typ] && s.typ != "replay_recording" && s.typ != "(header)" {
			payloads = append(payloads, s)
			size += len(s.payload)
		}
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	hits := make([]int, len(r.names))
	for b.Loop() {
		for i := range payloads {
			if _, err := r.scrub(payloads[i].typ, payloads[i].payload, addresses{remove: true}, hits, nil); err != nil {
				b.Fatal(payloads[i].name, err)
			}
		}
	}
}

// BenchmarkClean scrubs an event of 4 KB in which nothing is found.
func BenchmarkClean(b *testing.B) {
	r := mustCompile(b, everything())
	payload, _, err := r.Item("event", fixture(b, "sentry-browser/tracing-stream", "event"))
	if err != nil {
		b.Fatal(err)
	}
	bench(b, r, "event", payload)
}

// BenchmarkEvent scrubs the event of the PII scenario, with about thirty hits.
func BenchmarkEvent(b *testing.B) {
	bench(b, mustCompile(b, everything()), "event", fixture(b, "sentry-browser/pii-context", "event"))
}

func BenchmarkReplay(b *testing.B) {
	bench(b, mustCompile(b, everything()), "replay_recording", fixture(b, "sentry-browser/replay-session", "replay_recording"))
}

func bench(b *testing.B, r *Rules, typ string, payload []byte) {
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	hits := make([]int, len(r.names))
	for b.Loop() {
		if _, err := r.scrub(typ, payload, addresses{remove: true}, hits, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkValidate is the floor: checking the syntax of the same items.
func BenchmarkValidate(b *testing.B) {
	var payloads [][]byte
	size := 0
	for _, s := range fixtures(b) {
		if !opaqueTypes[s.typ] && s.typ != "replay_recording" && s.typ != "(header)" {
			payloads = append(payloads, s.payload)
			size += len(s.payload)
		}
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		for _, p := range payloads {
			if !schemas.Valid(p) {
				b.Fatal("invalid")
			}
		}
	}
}
