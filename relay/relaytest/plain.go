package relaytest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// Plain is the part of the contract that holds whatever a destination speaks.
type Plain struct {
	// New makes a destination whose target works. arrived is the text of all
	// that came, repeats included.
	New func(t *testing.T) (d relay.Destination, arrived func() string)
	// Away makes one whose target is away, and Reason is the word for it.
	Away   func(t *testing.T) relay.Destination
	Reason string
	// Stuck makes one whose target takes everything and never shows that it
	// did. nil: there is no such target.
	Stuck func(t *testing.T) relay.Destination
	// Store says that the destination keeps documents, so that what makes none
	// ends as filtered.
	Store bool
}

// PlainContract is what every destination must do.
func PlainContract(t *testing.T, p Plain) {
	t.Run("delivers", p.delivers)
	t.Run("target away", p.away)
	t.Run("context", p.context)
	t.Run("record is left alone", p.leavesRecord)
	t.Run("concurrent", p.concurrent)
	if p.Store {
		t.Run("no document", p.noDocument)
	}
}

func closing(t *testing.T, d relay.Destination) relay.Destination {
	if c, ok := d.(io.Closer); ok {
		t.Cleanup(func() { _ = c.Close() })
	}
	return d
}

func (p Plain) start(t *testing.T) (relay.Destination, func() string) {
	t.Helper()
	d, arrived := p.New(t)
	return closing(t, d), arrived
}

// within fails a test that waits for something for ever.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (p Plain) delivers(t *testing.T) {
	d, arrived := p.start(t)
	rec := SampleRecord()
	finals, err := d.Deliver(within(t), &rec.Meta, &rec.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	if finals != nil && len(finals) != len(rec.Envelope.Items) {
		t.Errorf("%d finals for %d items", len(finals), len(rec.Envelope.Items))
	}
	arrives(t, arrived, rec.Meta.EventID)
}

// arrives waits for events at the target, which may take a moment to write what it
// has taken.
func arrives(t *testing.T, arrived func() string, ids ...string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		text := arrived()
		missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return strings.Contains(text, id) })
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("delivered, and not there: %v in %s", missing, text)
		}
	}
}

func (p Plain) away(t *testing.T) {
	d := closing(t, p.Away(t))
	rec := SampleRecord()
	_, err := d.Deliver(within(t), &rec.Meta, &rec.Envelope)
	if err == nil {
		t.Fatal("delivered to nobody")
	}
	de := relay.AsDeliverError(err)
	if de.Class != relay.Temporary || !de.Down || de.Reason != p.Reason {
		t.Errorf("class %d, down %v, reason %q; want temporary, down, %q (%v)", de.Class, de.Down, de.Reason, p.Reason, err)
	}
	if !known(de.Reason) {
		t.Errorf("reason %q is not in relay.Results", de.Reason)
	}
}

func (p Plain) context(t *testing.T) {
	d, _ := p.start(t)
	if p.Stuck != nil {
		d = closing(t, p.Stuck(t))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if p.Stuck == nil {
		cancel()
	}
	done := make(chan error, 1)
	go func() {
		rec := SampleRecord()
		_, err := d.Deliver(ctx, &rec.Meta, &rec.Envelope)
		done <- err
	}()
	select {
	case err := <-done:
		if p.Stuck != nil {
			t.Fatalf("delivered to a target that is stuck, or not waited for: %v", err)
		}
		return // before or after the cancellation was seen: both are right
	case <-time.After(patience):
	}
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a cancelled attempt counts as delivered")
		}
	case <-time.After(time.Minute):
		t.Error("an attempt goes on after its context ended")
	}
}

func (p Plain) leavesRecord(t *testing.T) {
	d, arrived := p.start(t)
	rec := SampleRecord()
	var before, after bytes.Buffer
	if _, err := rec.Envelope.WriteTo(&before); err != nil {
		t.Fatal(err)
	}
	meta := fmt.Sprintf("%+v", rec.Meta)
	if _, err := d.Deliver(within(t), &rec.Meta, &rec.Envelope); err != nil {
		t.Fatal(err)
	}
	arrives(t, arrived, rec.Meta.EventID) // and not among what the next test looks at
	if _, err := rec.Envelope.WriteTo(&after); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before.Bytes(), after.Bytes()) {
		t.Errorf("the envelope was changed:\n%s\nwas\n%s", after.Bytes(), before.Bytes())
	}
	if got := fmt.Sprintf("%+v", rec.Meta); got != meta {
		t.Errorf("the meta was changed: %s, was %s", got, meta)
	}
}

func (p Plain) concurrent(t *testing.T) {
	d, arrived := p.start(t)
	ctx := within(t)
	var mu sync.Mutex
	var ids []string
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			rec := SampleRecord()
			if _, err := d.Deliver(ctx, &rec.Meta, &rec.Envelope); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, rec.Meta.EventID)
		})
	}
	wg.Wait()
	arrives(t, arrived, ids...)
}

func (p Plain) noDocument(t *testing.T) {
	d, arrived := p.start(t)
	rec := MustRecord("{}\n{\"type\":\"session\"}\n{\"sid\":\"7c7b6585-f901-4351-bf8d-02711b721929\"}\n{\"type\":\"client_report\"}\n{}")
	finals, err := d.Deliver(within(t), &rec.Meta, &rec.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	want := schemas.Final{Outcome: schemas.Filtered, Reason: relay.NoDocument}
	if len(finals) != 2 || finals[0] != want || finals[1] != want {
		t.Errorf("ends %+v, want %+v twice", finals, want)
	}
	if text := arrived(); text != "" {
		t.Errorf("arrived: %s", text)
	}
}
