package main

import (
	"context"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/relay/spool/jetstream"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/schemas"
)

// spoolStore is one of the gateway's own engines.
type spoolStore struct {
	spool.Spool
	dir    string
	forget func() error
}

func (s *spoolStore) append(ctx context.Context, rec *schemas.Record) error {
	return s.Append(ctx, rec)
}

func (s *spoolStore) close() error {
	err := s.Close()
	if s.forget != nil {
		if forgetting := s.forget(); err == nil {
			err = forgetting
		}
	}
	_ = os.RemoveAll(s.dir)
	return err
}

const benchRoom = 64 << 30

func openDiskStore(_ context.Context, dir, _ string, _ *natstest.Cluster) (store, error) {
	s, err := disk.Open(disk.Config{Dir: dir, MaxSize: benchRoom, MinFree: 64 << 20, ProjectShare: 1})
	if err != nil {
		return nil, err
	}
	return &spoolStore{Spool: s, dir: dir}, nil
}

func openStreamStore(ctx context.Context, dir, stream string, servers *natstest.Cluster) (store, error) {
	s, err := jetstream.Open(ctx, jetstream.Config{
		URL: servers.URL(), Monitors: servers.Monitors(), Stream: stream, Replicas: servers.Nodes(), Dir: dir, MaxSize: benchRoom / 4, ProjectShare: 1,
	})
	if err != nil {
		return nil, err
	}
	return &spoolStore{Spool: s, dir: dir, forget: func() error { return deleteStreams(ctx, servers) }}, nil
}

// deleteStreams removes every stream of servers that nobody else uses.
func deleteStreams(ctx context.Context, servers *natstest.Cluster) error {
	nc, js, err := plainClient(servers)
	if err != nil {
		return err
	}
	defer nc.Close()
	names := js.StreamNames(ctx)
	var all []string
	for name := range names.Name() {
		all = append(all, name)
	}
	if err := names.Err(); err != nil {
		return err
	}
	for _, name := range all {
		if err := js.DeleteStream(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func plainClient(servers *natstest.Cluster) (*nats.Conn, natsjs.JetStream, error) {
	nc, err := nats.Connect(servers.URL())
	if err != nil {
		return nil, nil, err
	}
	js, err := natsjs.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}

// plainStore publishes each record by itself.
type plainStore struct {
	ctx     context.Context
	nc      *nats.Conn
	js      natsjs.JetStream
	subject string
	servers *natstest.Cluster
}

func openPlainStore(ctx context.Context, _, stream string, servers *natstest.Cluster) (store, error) {
	nc, js, err := plainClient(servers)
	if err != nil {
		return nil, err
	}
	_, err = js.CreateStream(ctx, natsjs.StreamConfig{
		Name: stream, Subjects: []string{stream}, Replicas: servers.Nodes(), Storage: natsjs.FileStorage, Retention: natsjs.WorkQueuePolicy, Discard: natsjs.DiscardNew,
	})
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &plainStore{ctx, nc, js, stream, servers}, nil
}

func (p *plainStore) append(ctx context.Context, rec *schemas.Record) error {
	body := rec.Envelope.Items[0].Payload.(schemas.Bytes) // as benchRecord makes it
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err := p.js.Publish(ctx, p.subject, body)
	return err
}

func (p *plainStore) close() error {
	err := deleteStreams(p.ctx, p.servers)
	p.nc.Close()
	return err
}
