package fleet

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"breakwater/schemas"
)

// Announce tells all gateways of limits that an upstream announced to this one.
// It does not wait. Their ends are sent as time left, so that clocks need not
// agree.
func (f *Fleet) Announce(list []Limit) {
	now := f.opts.Now()
	args := []any{f.prefix + "limits"}
	for _, l := range list {
		if left := l.Until.Sub(now); left > 0 {
			args = append(args, l.Scope+"|"+string(l.Category), left.Milliseconds()+1, l.Reason)
		}
	}
	if len(args) == 1 {
		return
	}
	f.tell(func(ctx context.Context, p redis.Pipeliner) redis.Cmder {
		return p.EvalSha(ctx, f.scripts.upstream.sha, []string{f.prefix + "upstreams"}, args...)
	})
}

// learn hands on what limits.lua listed.
func (f *Fleet) learn(cmd *redis.Cmd) {
	rows, err := cmd.Slice()
	if err != nil || f.opts.Learned == nil {
		return
	}
	now := f.opts.Now()
	var list []Limit
	for i := 0; i+2 < len(rows); i += 3 {
		name, _ := rows[i].(string)
		reason, _ := rows[i+2].(string)
		cut := strings.LastIndexByte(name, '|')
		if cut < 0 {
			continue
		}
		list = append(list, Limit{
			Scope: name[:cut], Category: schemas.Category(name[cut+1:]), Reason: reason,
			Until: now.Add(time.Duration(whole(rows[i+1])) * time.Millisecond),
		})
	}
	if len(list) > 0 {
		f.opts.Learned(list)
	}
}

// listen hears what other gateways publish. The client connects again by
// itself; what was missed in between the next pulse brings, but for
// measurements, of which one update is lost.
func (f *Fleet) listen() {
	own := f.prefix + "to:" + f.name
	sub := f.rdb.Subscribe(f.ended, f.prefix+"limits", own)
	defer func() { _ = sub.Close() }()
	messages := sub.Channel(redis.WithChannelSize(1000))
	for {
		select {
		case <-f.ended.Done():
			return
		case m, ok := <-messages:
			switch {
			case !ok:
				return
			case m.Channel == own && f.opts.Message != nil:
				f.opts.Message([]byte(m.Payload))
				f.heard.Add(1)
			case m.Channel != own:
				f.askLimits()
			}
		}
	}
}

func (f *Fleet) askLimits() {
	ctx, cancel := context.WithTimeout(f.ended, probeTime)
	defer cancel()
	f.learn(f.rdb.EvalSha(ctx, f.scripts.limits.sha, []string{f.prefix + "upstreams"}))
}
