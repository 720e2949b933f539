package fleet

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Examination is what one look at a Redis found.
type Examination struct {
	// Took is how long its quickest of three answers took.
	Took time.Duration
	// Version, Policy and MaxMemory (bytes, 0: no bound) are its own words; "" where
	// it does not tell.
	Version, Policy string
	MaxMemory       int64
	// Cluster says that it is a node of a Redis Cluster.
	Cluster bool
}

// Examine looks at the Redis of a URL, for somebody who wants to know whether a
// gateway could use it: it connects, writes and reads under prefix, and runs a
// script. The error says what failed, without the password.
func Examine(ctx context.Context, url, prefix string) (Examination, error) {
	var e Examination
	ro, err := redis.ParseURL(url)
	if err != nil {
		return e, errors.New("limits.redis.url cannot be read")
	}
	ro.MaxRetries, ro.ContextTimeoutEnabled, ro.DialTimeout = -1, true, dialTimeout
	rdb := redis.NewClient(ro)
	defer rdb.Close()
	f := &Fleet{opts: Options{URL: url}}
	key := prefix + ":examined"
	for range 3 {
		began := time.Now()
		if err := rdb.Set(ctx, key, "1", time.Minute).Err(); err != nil {
			return e, f.redacted(err)
		}
		if took := time.Since(began); e.Took == 0 || took < e.Took {
			e.Took = took
		}
	}
	if err := rdb.Eval(ctx, "return redis.call('DEL', KEYS[1])", []string{key}).Err(); err != nil {
		return e, f.redacted(err)
	}
	for _, line := range strings.Split(rdb.Info(ctx, "server", "memory", "cluster").Val(), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "redis_version":
			e.Version = value
		case "maxmemory_policy":
			e.Policy = value
		case "maxmemory":
			e.MaxMemory = whole(value)
		case "cluster_enabled":
			e.Cluster = value == "1"
		}
	}
	return e, nil
}
