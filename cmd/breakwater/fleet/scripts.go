package fleet

import (
	"context"
	"crypto/sha1" // Redis names scripts by it
	_ "embed"     // the scripts
	"encoding/hex"
	"errors"
	"strings"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed steps.lua
	stepsText string
	//go:embed ended.lua
	endedText string
	//go:embed upstream.lua
	upstreamText string
	//go:embed limits.lua
	limitsText string
	//go:embed release.lua
	releaseText string
)

// scripts are what Redis has to know.
type scripts struct{ steps, ended, upstream, limits, release script }

func (s scripts) all() []script {
	return []script{s.steps, s.ended, s.upstream, s.limits, s.release}
}

// script is one, and what Redis calls it. (The library's own type forgets its
// hash when it is loaded in a pipeline.)
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// newScripts puts redis_rate's script, as a function, into ours: its arithmetic
// stays the library's, and one call can decide more than one bucket.
func newScripts() (scripts, error) {
	gcra, err := rateScript()
	if err != nil {
		return scripts{}, err
	}
	return scripts{
		steps: newScript(strings.Replace(stepsText, "--GCRA--", gcra, 1)), ended: newScript(endedText),
		upstream: newScript(upstreamText), limits: newScript(limitsText), release: newScript(releaseText),
	}, nil
}

// rateScript is the script that redis_rate sends for AllowN: key of the bucket;
// burst, rate, period in seconds, tokens; what it answers is read by AllowN.
func rateScript() (string, error) {
	var r recorder
	_, _ = redis_rate.NewLimiter(&r).AllowN(context.Background(), "any", redis_rate.PerSecond(1), 1) // ends with errRecorded
	if r.script == "" {
		return "", errors.New("redis_rate sends no script")
	}
	return r.script, nil
}

var errRecorded = errors.New("recorded")

// recorder stands where redis_rate wants a connection, and notes the script it
// would run.
type recorder struct {
	redis.Cmdable
	script string
}

// EvalSha knows no script.
func (r *recorder) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(noScript{})
	return cmd
}

// Eval notes the script.
func (r *recorder) Eval(ctx context.Context, script string, _ []string, _ ...any) *redis.Cmd {
	r.script = script
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(errRecorded)
	return cmd
}

// noScript is the answer of a Redis that does not know a script.
type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT No matching script." }

// RedisError marks it as an answer of the server.
func (noScript) RedisError() {}
