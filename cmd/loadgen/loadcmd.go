package main

import (
	"context"
	"time"
)

type loadCmd struct {
	Target  string        `help:"Address of a gateway on loopback." default:"127.0.0.1:8080"`
	Project string        `help:"Project id." default:"1"`
	Key     string        `help:"Public key." default:"0123456789abcdef0123456789abcdef"`
	Kind    string        `help:"What to send." enum:"envelope,beacon" default:"envelope"`
	Time    time.Duration `help:"How long." default:"10s"`
	Conns   int           `help:"Connections." default:"128"`
	Rate    float64       `help:"Requests per second over all connections; 0 for as fast as it goes." default:"0"`
	Size    string        `help:"Bytes of an envelope." default:"4096"`
	JSON    bool          `help:"Print the tally as JSON."`
}

// Run loads one gateway and prints what it answered.
func (l *loadCmd) Run() error {
	if err := loopback(l.Target); err != nil {
		return err
	}
	path, contentType, body := "/api/"+l.Project+"/vitals/?key="+l.Key, "text/plain", beacon()
	if l.Kind == "envelope" {
		env, err := envelope(l.Key, l.Size)
		if err != nil {
			return err
		}
		path, contentType, body = "/api/"+l.Project+"/envelope/?sentry_version=7&sentry_key="+l.Key, "text/plain;charset=UTF-8", env
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.Time)
	defer cancel()
	t := load{addr: l.Target, conns: l.Conns, pace: l.Rate, tmpl: newTemplate("POST", path, l.Target, contentType, body)}.run(ctx)
	return print(l.JSON, t)
}
