package storm

import (
	"net/netip"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxClients bounds how many clients of a project are looked at.
	maxClients = 10_000
	// clientKinds is how many fingerprints of a client are told apart.
	clientKinds = 4
	// clientMin is how many of its errors must have been suppressed before a
	// client is asked to stop: whoever hits the bug of the hour once is not.
	clientMin = 10
)

// clientID is a client: a key, and an address (IPv6 by its /64).
type clientID struct {
	key  string
	addr netip.Addr
}

func newClientID(key string, addr netip.Addr) clientID {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	return clientID{key, addr}
}

// client is what one client has sent lately.
type client struct {
	kinds      [clientKinds]kind
	untracked  int64 // when it last sent what is in none of kinds; nanoseconds
	suppressed int   // in a row, without a pause of a window
	lastSupp   int64
}

type kind struct {
	key  uint64
	last int64
}

// clients are those of a project. Not safe for concurrent use.
type clients struct {
	lru  *simplelru.LRU[clientID, *client]
	lost int64 // when a client that had sent something was last forgotten
}

func newClients() *clients {
	c := &clients{}
	lru, err := simplelru.NewLRU(maxClients, func(_ clientID, old *client) {
		c.lost = max(c.lost, old.latest())
	})
	if err != nil { // the size is a constant above 0
		return c
	}
	c.lru = lru
	return c
}

func (c *client) latest() int64 {
	at := c.untracked
	for _, k := range c.kinds {
		at = max(at, k.last)
	}
	return at
}

// get returns a client; one not known may be one that was forgotten, so
// whatever was lost counts as its own untracked errors.
func (c *clients) get(id clientID) *client {
	if cl, ok := c.lru.Get(id); ok {
		return cl
	}
	cl := &client{untracked: c.lost}
	c.lru.Add(id, cl)
	return cl
}

// saw notes an error of the client.
func (c *client) saw(key uint64, now, window int64) {
	stalest := 0
	for i := range c.kinds {
		if c.kinds[i].key == key && c.kinds[i].last != 0 {
			c.kinds[i].last = now
			return
		}
		if c.kinds[i].last < c.kinds[stalest].last {
			stalest = i
		}
	}
	k := &c.kinds[stalest]
	if k.last != 0 && now-k.last < window {
		c.untracked = max(c.untracked, k.last)
	}
	*k = kind{key, now}
}

// sawOther notes an error that has no fingerprint.
func (c *client) sawOther(now int64) { c.untracked = now }

// wasSuppressed counts a suppressed error.
func (c *client) wasSuppressed(now, window int64) {
	if now-c.lastSupp >= window {
		c.suppressed = 0
	}
	c.suppressed++
	c.lastSupp = now
}

// onlyStorms tells whether the client was suppressed often enough and all it
// has sent within the last window is of fingerprints that storm now.
func (c *client) onlyStorms(now, window int64, storming func(uint64) bool) bool {
	if c.suppressed < clientMin || c.untracked != 0 && now-c.untracked < window {
		return false
	}
	for _, k := range c.kinds {
		if k.last != 0 && now-k.last < window && !storming(k.key) {
			return false
		}
	}
	return true
}
