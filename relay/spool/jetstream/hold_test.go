package jetstream

import (
	"context"
	"errors"
	"testing"
	"time"

	"breakwater/relay/spool/jetstream/natstest"
)

// One gateway has a hold; another one waits until it is given back, or until
// its holder has not been heard of, who learns that it is lost.
func TestHold(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	place := newPlace()
	short := func(c *Config) { c.times.ackWait = 3 * time.Second }
	one, two, three := solo(t, c, place, short), solo(t, c, place, short), solo(t, c, place, short)
	held, release, err := one.Hold(t.Context(), "drain", "one")
	if err != nil {
		t.Fatal(err)
	}
	// Longer than a hold lasts that nobody renews.
	waiting, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, _, err := two.Hold(waiting, "drain", "two"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second one has it: %v", err)
	}
	if held.Err() != nil {
		t.Fatal("the first one lost it")
	}
	release()
	lost, _, err := two.Hold(t.Context(), "drain", "two")
	if err != nil {
		t.Fatal(err)
	}
	two.conn.Close() // nobody hears of it any more
	_, release, err = three.Hold(t.Context(), "drain", "three")
	if err != nil {
		t.Fatal(err)
	}
	_, again, err := one.Hold(t.Context(), "drain", "three") // as after a kill
	if err != nil {
		t.Fatal(err)
	}
	again()
	release()
	select {
	case <-lost.Done():
	case <-time.After(time.Minute):
		t.Fatal("who is not heard of does not know")
	}
}
