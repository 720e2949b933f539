// Package natstest starts real nats-server processes for tests: one server or
// a cluster, each with JetStream on disk, an own store and a monitoring port,
// and ends, freezes and restarts them one by one.
//
//	c := natstest.Start(t, natstest.Options{Nodes: 3})
//	s, err := jetstream.Open(ctx, jetstream.Config{URL: c.URL(), Monitors: c.Monitors(), …})
//	c.Kill(c.Leader("breakwater"))
//
// The server is the module's tool nats-server (see go.mod), built once into
// the build cache and never linked into anything. Ports are free ones outside
// the range the kernel gives to outgoing connections, so that a server that
// was ended gets them again.
package natstest
