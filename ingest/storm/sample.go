package storm

import (
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Bounds of the sample stacks: of one project 256 samples of at most about
// 6 KB each, and no more than 20 new ones a second, so that a flood of made-up
// fingerprints costs no reading.
const (
	maxSamples       = 256
	maxSampleFrames  = 20
	maxSampleText    = 400
	maxFrameText     = 200
	samplesPerSecond = 20
)

// Sample is one occurrence of a group as it was stored: after scrubbing.
type Sample struct {
	EventID     string    `json:"event_id"`
	Release     string    `json:"release"`
	Environment string    `json:"environment"`
	Platform    string    `json:"platform"`
	At          time.Time `json:"at"`
	// Type and Value are those of the reported exception, or the message.
	Type  string `json:"type"`
	Value string `json:"value"`
	// Frames are "function (file:line:column)", the innermost first, at most 20.
	Frames []string `json:"frames"`
}

// samples keeps one occurrence of the groups seen last.
type samples struct {
	mu    sync.Mutex // serialises taking
	cache *lru.Cache[string, Sample]
	pace  *rate.Limiter
}

func newSamples() *samples {
	cache, err := lru.New[string, Sample](maxSamples)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &samples{cache: cache, pace: rate.NewLimiter(samplesPerSecond, samplesPerSecond)}
}

// Sample is an occurrence of a group that is kept, ok is false when there is
// none: it was not forwarded since the start, or others were seen since.
func (c *Control) Sample(project, fingerprint string) (s Sample, ok bool) {
	if p := c.projects()[project]; p != nil {
		return p.samples.cache.Peek(fingerprint)
	}
	return s, false
}

// Samples is the stage that keeps samples. It stands behind scrubbing, so that
// nothing is kept that was removed.
func (c *Control) Samples() ingest.Stage { return sampling{c} }

type sampling struct{ c *Control }

// Name is "samples".
func (sampling) Name() string { return "samples" }

// Apply looks at batches of one error; it changes nothing and never fails.
func (s sampling) Apply(b *ingest.Batch) error {
	if b.Fingerprint == "" || b.Request.Project == nil {
		return nil
	}
	p := s.c.projects()[b.Request.Project.Name]
	if p == nil {
		return nil
	}
	var event *ingest.Item
	for _, it := range b.Items {
		if it.Header.Type != "event" || !it.Alive() {
			continue
		}
		if event != nil {
			return nil // the fingerprint is of one of them
		}
		event = it
	}
	if event != nil {
		p.samples.take(b, event)
	}
	return nil
}

// take keeps an occurrence of a group that has none, or one of another
// release. What is known already costs one look.
func (s *samples) take(b *ingest.Batch, it *ingest.Item) {
	have, ok := s.cache.Get(b.Fingerprint)
	if ok && have.Release == cut(b.Release, maxName) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pace.AllowN(b.Request.ReceivedAt, 1) {
		return
	}
	ev := it.Event()
	if ev == nil {
		return
	}
	s.cache.Add(b.Fingerprint, sampleOf(ev, b))
}

func sampleOf(ev *schemas.Event, b *ingest.Batch) Sample {
	s := Sample{
		EventID: own(b.EventID), Release: own(b.Release), Environment: own(ev.Environment()), Platform: own(ev.Platform()),
		At: b.Request.ReceivedAt.UTC(), Frames: []string{},
	}
	list := ev.Exceptions()
	if len(list) == 0 {
		s.Value = text(ev.Message(), maxSampleText)
		return s
	}
	last := list[len(list)-1]
	s.Type, s.Value = own(last.Type), text(last.Value, maxSampleText)
	for i := len(list) - 1; i >= 0; i-- {
		stack := list[i].Stack
		if stack.Len() == 0 {
			continue
		}
		for j := stack.Len() - 1; j >= 0 && len(s.Frames) < maxSampleFrames; j-- {
			s.Frames = append(s.Frames, frameText(stack.Frame(j)))
		}
		break
	}
	return s
}

func frameText(f schemas.Frame) string {
	name := f.Function
	if name == "" {
		name = "?"
	}
	where := fileOf(&f)
	if f.Lineno > 0 {
		where += ":" + strconv.Itoa(f.Lineno)
		if f.Colno > 0 {
			where += ":" + strconv.Itoa(f.Colno)
		}
	}
	if where == "" {
		return text(name, maxFrameText)
	}
	return text(name, maxFrameText) + " (" + text(where, maxFrameText) + ")"
}

// text is a copy of the first n bytes.
func text(s string, n int) string { return string(append([]byte(nil), cut(s, n)...)) }
