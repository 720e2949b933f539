package fleet

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"breakwater/ingest"
)

const (
	// storms is how many ended storms one gateway takes at a time, and tellWithin
	// how long it has before another one takes them.
	storms     = 20
	tellWithin = 30 * time.Second
)

// Ended is of ingest.Fleet.
func (f *Fleet) Ended(ctx context.Context) ([]ingest.EndedStorm, error) {
	cmd := f.rdb.EvalSha(ctx, f.scripts.ended.sha, []string{f.prefix + "storms"}, storms, tellWithin.Milliseconds())
	rows, err := cmd.Slice()
	if err != nil {
		return nil, fmt.Errorf("asking for storms that ended: %w", err)
	}
	var list []ingest.EndedStorm
	for _, row := range rows {
		r, ok := row.([]any)
		if !ok || len(r) != 12 {
			return list, fmt.Errorf("asking for storms that ended: answered %v", row)
		}
		text := func(i int) string { s, _ := r[i].(string); return s }
		list = append(list, ingest.EndedStorm{
			Ref: text(0), Project: text(1), Fingerprint: text(2), Title: text(3), Release: text(4), Environment: text(5),
			Level: text(6), PublicKey: text(7), Start: time.UnixMilli(whole(r[8])), Last: time.UnixMilli(whole(r[9])),
			Seen: count(text(10)), Forwarded: count(text(11)),
		})
	}
	return list, nil
}

func count(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // what is no number is none
	return n
}

// Told is of ingest.Fleet.
func (f *Fleet) Told(ctx context.Context, s ingest.EndedStorm) error {
	p := f.rdb.Pipeline()
	p.ZRem(ctx, f.prefix+"storms", s.Ref)
	p.Del(ctx, s.Ref)
	_, err := p.Exec(ctx)
	return err
}
