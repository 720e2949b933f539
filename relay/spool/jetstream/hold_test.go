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
	renewed := func() error {
		held, release, err := one.Hold(t.Context(), "drain", "one")
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		// Longer than a hold lasts that nobody renews.
		waiting, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, free, err := two.Hold(waiting, "drain", "two"); err == nil {
			free()
			return errors.New("a second one has it")
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if held.Err() != nil {
			return errors.New("the first one lost it")
		}
		return nil
	}
	eventually(t, time.Minute, renewed) // a machine that stands still for half of that time lets nobody renew it
	lost, _, err := two.Hold(t.Context(), "drain", "two")
	if err != nil {
		t.Fatal(err)
	}
	two.conn.Close() // nobody hears of it any more
	_, release, err := three.Hold(t.Context(), "drain", "three")
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
