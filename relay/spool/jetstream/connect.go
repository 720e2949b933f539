package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// dial connects. Nothing is buffered while there is no connection: what was
// refused must not be sent later.
func (s *Spool) dial(ctx context.Context) error {
	opts := []nats.Option{
		nats.Name("breakwater " + s.cfg.Gateway),
		nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, 250*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.Timeout(5 * time.Second), nats.FlusherTimeout(5 * time.Second),
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			time.AfterFunc(connectionGrace, func() {
				if s.ctx.Err() == nil && !s.conn.IsConnected() {
					s.lost(fmt.Errorf("no connection: %w", orClosed(err)))
				}
			})
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			s.metrics.reconnects.Inc()
			s.log.Info().Str("server", c.ConnectedUrlRedacted()).Msg("connected to a server of the stream again")
			kick(s.wakeProbe)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.log.Warn().Err(err).Msg("the connection to the stream has a fault")
		}),
	}
	if s.cfg.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(s.cfg.CredentialsFile))
	}
	if s.cfg.CAFile != "" {
		opts = append(opts, nats.RootCAs(s.cfg.CAFile))
	}
	for {
		conn, err := nats.Connect(s.cfg.URL, opts...)
		if err == nil {
			s.conn = conn
			break
		}
		if !permanent(err) {
			s.waits.Load().tell(err)
		}
		if permanent(err) || !pause(ctx, 250*time.Millisecond) {
			return fmt.Errorf("connecting to the stream's servers: %w", err)
		}
	}
	var err error
	s.js, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(5*time.Second))
	return err
}

// connectionGrace is how long appends wait for another server before they are
// refused: the next one is usually there at once.
const connectionGrace = time.Second

func orClosed(err error) error {
	if err == nil {
		return nats.ErrConnectionClosed
	}
	return err
}

// permanent errors do not go away by trying again.
func permanent(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrSecureConnRequired) ||
		strings.Contains(err.Error(), "x509") || strings.Contains(err.Error(), "parse") || strings.Contains(err.Error(), "no such file")
}

// pause is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// UnsyncedError says that a server would confirm what is not on its disk yet,
// or that this cannot be seen. Open fails with it unless Config.AllowUnsynced.
type UnsyncedError struct {
	Monitor string // the address asked, "" when none was given
	Why     string
	// Unanswered says that too few servers can be asked for now: they may be
	// starting, too.
	Unanswered bool
}

func (e *UnsyncedError) Error() string {
	at := ""
	if e.Monitor != "" {
		at = " (" + e.Monitor + ")"
	}
	return "the stream's servers must write to disk before they confirm: " + e.Why + at +
		"; without it a power cut of all servers loses up to their sync_interval (two minutes by default) of what clients were told is safe"
}

// serverState is what a monitoring address tells at /jsz.
type serverState struct {
	ServerID string `json:"server_id"`
	Disabled bool   `json:"disabled"`
	Config   struct {
		SyncAlways   bool          `json:"sync_always"`
		SyncInterval time.Duration `json:"sync_interval"`
	} `json:"config"`
	Meta struct {
		Size int `json:"cluster_size"`
	} `json:"meta_cluster"`
}

// checkSync asks every server of the cluster whether it syncs before it
// confirms. They answer for themselves only, so all of them must be named. Of
// those that do not answer a minority may be down: it returns them, to be
// asked again later.
func (s *Spool) checkSync(ctx context.Context) (silent []string, err error) {
	if len(s.cfg.Monitors) == 0 {
		return nil, &UnsyncedError{Why: "no monitoring address is given by which that could be seen"}
	}
	seen, size := map[string]bool{}, 1
	var last error
	for _, url := range s.cfg.Monitors {
		st, err := askMonitor(ctx, url)
		if err != nil {
			silent, last = append(silent, url), &UnsyncedError{Monitor: url, Why: "a server cannot be asked: " + err.Error(), Unanswered: true}
			continue
		}
		if err := st.unsynced(url); err != nil {
			return nil, err
		}
		seen[st.ServerID] = true
		size = max(size, st.Meta.Size)
	}
	switch {
	case len(seen)+len(silent) < size:
		return nil, &UnsyncedError{Why: fmt.Sprintf("%d of the cluster's %d servers can be asked; name the monitoring addresses of all", len(seen)+len(silent), size)}
	case len(seen) <= size/2:
		return nil, last
	}
	return silent, nil
}

// untilAsked is checkSync, again and again while too few servers answer: those of a
// cluster that was just started come one after the other. Who opens all the same
// does not wait.
func (s *Spool) untilAsked(ctx context.Context) (silent []string, err error) {
	for {
		silent, err = s.checkSync(ctx)
		var un *UnsyncedError
		if s.cfg.AllowUnsynced || !errors.As(err, &un) || !un.Unanswered {
			return silent, err
		}
		s.waits.Load().tell(err)
		if !pause(ctx, 250*time.Millisecond) {
			return silent, err
		}
	}
}

func (st *serverState) unsynced(url string) error {
	switch {
	case st.Disabled:
		return &UnsyncedError{Monitor: url, Why: "a server has no JetStream"}
	case !st.Config.SyncAlways:
		return &UnsyncedError{Monitor: url, Why: fmt.Sprintf("a server syncs every %s; set sync_interval: always in its jetstream section", st.Config.SyncInterval)}
	}
	return nil
}

// watchSync asks the servers that were down at the start until each answered.
func (s *Spool) watchSync(silent []string) {
	defer s.wg.Done()
	for len(silent) > 0 && pause(s.ctx, 15*time.Second) {
		var still []string
		for _, url := range silent {
			st, err := askMonitor(s.ctx, url)
			if err == nil {
				err = st.unsynced(url)
			}
			var un *UnsyncedError
			if errors.As(err, &un) {
				s.metrics.unsynced.Inc()
				s.log.Error().Err(err).Msg("a server that was down at the start does not sync")
			} else if err != nil {
				still = append(still, url)
			}
		}
		silent = still
	}
}

func askMonitor(ctx context.Context, url string) (st serverState, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/jsz?config=true", nil)
	if err != nil {
		return st, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return st, fmt.Errorf("it answers %s", resp.Status)
	}
	return st, json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&st)
}
