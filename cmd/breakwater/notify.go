package main

import (
	"context"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// What a service manager is told (sd_notify(3)). Without one, which is without
// NOTIFY_SOCKET in the environment, nothing is sent.
const (
	stateReady     = daemon.SdNotifyReady
	stateReloading = daemon.SdNotifyReloading
	stateStopping  = daemon.SdNotifyStopping
)

// tell sends a state to the service manager. That it cannot be told is no
// reason to do anything else: it will act by its own timeouts.
func (a *app) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.log.Warn().Err(err).Str("state", state).Msg("the service manager cannot be told")
	}
}

// feedWatchdog shows the service manager that the process is alive, as long as
// its private listener answers: a process that hangs is ended and started
// again. It returns at once where nobody watches (WatchdogSec= of systemd).
func (a *app) feedWatchdog(ctx context.Context) {
	patience, err := daemon.SdWatchdogEnabled(false)
	if err != nil || patience <= 0 {
		return
	}
	client := &http.Client{Timeout: patience / 3}
	url := "http://" + dialable(a.private.Addr()) + "/-/healthy"
	for tick := time.NewTicker(patience / 3); ; {
		if resp, err := client.Get(url); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				a.tell(daemon.SdNotifyWatchdog)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}
