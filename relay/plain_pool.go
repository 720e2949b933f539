package relay

import (
	"sync"
	"time"
)

// plainIdle is how long a connection is kept that nobody uses.
const plainIdle = 60 * time.Second

// plainPool are the connections that wait for their next request, the one used
// last at the end.
type plainPool struct {
	mu   sync.Mutex
	idle []*plainConn
	tidy *time.Timer // closes what waited too long; nil: nothing waits
}

// get takes the connection used last that is still good.
func (p *plainPool) get(host string) *plainConn {
	for {
		p.mu.Lock()
		i := len(p.idle) - 1
		for i >= 0 && p.idle[i].host != host {
			i--
		}
		if i < 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[i]
		p.idle = append(p.idle[:i], p.idle[i+1:]...)
		p.mu.Unlock()
		if quiet(c.Conn) {
			return c
		}
		_ = c.Close()
	}
}

// put keeps a connection, unless limit are kept already.
func (p *plainPool) put(c *plainConn, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= limit {
		_ = c.Close()
		return
	}
	c.since = time.Now()
	p.idle = append(p.idle, c)
	if p.tidy == nil {
		p.tidy = time.AfterFunc(plainIdle, p.sweep)
	}
}

// sweep closes what waited too long.
func (p *plainPool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, c := range p.idle {
		if time.Since(c.since) >= plainIdle {
			_ = c.Close()
			continue
		}
		kept = append(kept, c)
	}
	clear(p.idle[len(kept):])
	p.idle, p.tidy = kept, nil
	if len(kept) > 0 {
		p.tidy = time.AfterFunc(plainIdle-time.Since(kept[0].since), p.sweep)
	}
}

func (p *plainPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		_ = c.Close()
	}
	p.idle = nil
	if p.tidy != nil {
		p.tidy.Stop()
		p.tidy = nil
	}
}
