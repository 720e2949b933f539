package syslog

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"breakwater/relay"
)

// send sends a batch; all of it ends in the same way.
func (d *Destination) send(ctx context.Context, jobs []*relay.Job[*letter]) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	var err error
	if d.cfg.Network == "udp" {
		err = d.datagrams(ctx, jobs)
	} else {
		err = d.stream(ctx, jobs)
	}
	if err == nil {
		return
	}
	for _, j := range jobs {
		j.Err = relay.NetworkError(err)
	}
}

// stream writes a batch on a connection of its own and returns nil when the
// server has read all of it: it closed its side in an orderly way after we
// closed ours. Whatever it answers is not looked at.
func (d *Destination) stream(ctx context.Context, jobs []*relay.Job[*letter]) error {
	broken, err := d.watch.open(ctx) // before the batch: it must have seen all of the server's life since
	if err != nil {
		return err
	}
	for _, j := range jobs {
		j.Value.broken = broken
	}
	conn, err := d.cfg.Dial(ctx, d.sessions)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var b []byte
	for _, j := range jobs {
		for _, m := range j.Value.messages {
			b = Frame(b, m)
		}
	}
	if _, err := conn.Write(b); err != nil {
		return cause(ctx, err)
	}
	if err := closeSending(conn); err != nil {
		return cause(ctx, err)
	}
	return cause(ctx, drain(conn))
}

// drain reads to the end of a connection. A server that ends TLS without
// saying so ends it as well: our own end was said before, so nothing of ours
// can have been cut off.
func drain(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// cause is ctx's error where that is why a connection failed.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

// datagrams sends each message by itself. An error of the kernel, or the
// refusal of a machine that hears nobody listen, fails the batch.
func (d *Destination) datagrams(ctx context.Context, jobs []*relay.Job[*letter]) error {
	conn, err := d.cfg.Dial(ctx, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, j := range jobs {
		for _, m := range j.Value.messages {
			if _, err := conn.Write(m); err != nil {
				return err
			}
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(refusal))
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
