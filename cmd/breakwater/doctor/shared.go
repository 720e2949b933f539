package doctor

import (
	"context"

	"breakwater/cmd/breakwater/config"
)

// Seen is one thing that was found about a service that gateways share. Name is
// one of Faults, "" for what is as it should be.
type Seen struct {
	Subject, Name, Detail string
	// Mild says that it is a warning: nothing is lost, and it may pass.
	Mild bool
}

// shared looks at what several gateways share: the stream, and Redis.
func (x *exam) shared(ctx context.Context) {
	if x.o.Config.Spool.UsesJetStream() && x.o.Stream != nil {
		x.all("stream", x.o.Stream(ctx))
	}
	if x.o.Config.Limits.Redis.URL != "" && x.o.Redis != nil {
		x.all("redis", x.o.Redis(ctx))
	}
}

func (x *exam) all(check string, list []Seen) {
	for _, s := range list {
		switch {
		case s.Name == "":
			x.ok(check, s.Subject, s.Detail)
		case s.Mild:
			x.warn(check, s.Subject, s.Name, s.Detail)
		default:
			x.fault(check, s.Subject, s.Name, s.Detail)
		}
	}
}

// onDisk tells whether the spool lies on this machine.
func (x *exam) onDisk() bool { return x.o.Config.Spool.Engine != config.EngineJetStream }
