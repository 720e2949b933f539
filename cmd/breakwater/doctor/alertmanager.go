package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// alertmanager sends a canary alert and looks for it.
func (x *exam) alertmanager(ctx context.Context) {
	if x.o.Prometheus != "" {
		x.connected(ctx)
	}
	if x.o.Alertmanager == "" {
		x.skip("alertmanager", "give --alertmanager its address")
		return
	}
	base := strings.TrimSuffix(x.o.Alertmanager, "/")
	name := "BreakwaterCanary"
	alert := []map[string]any{{
		"labels":      map[string]string{"alertname": name, "severity": "info", "canary": x.canaryID()[:16]},
		"annotations": map[string]string{"summary": "A canary of breakwater doctor: alerts arrive."},
		"startsAt":    time.Now().UTC(), "endsAt": time.Now().Add(time.Minute).UTC(),
	}}
	body, err := json.Marshal(alert)
	if err != nil {
		x.fault("alertmanager", base, "alertmanager_unreachable", err.Error())
		return
	}
	a, err := call(ctx, x.client, http.MethodPost, base+"/api/v2/alerts", http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil || a.status/100 != 2 {
		detail := ""
		if err != nil {
			detail = bare(err)
		} else {
			detail = a.text()
		}
		x.fault("alertmanager", base, "alertmanager_unreachable", detail)
		return
	}
	var receivers []string
	err = x.until(ctx, min(x.o.Patience, 10*time.Second), func() (bool, error) {
		var list []struct {
			Receivers []struct{ Name string }
		}
		filter := url.QueryEscape(`canary="` + x.canaryID()[:16] + `"`)
		if err := getJSON(ctx, x.client, base+"/api/v2/alerts?filter="+filter, nil, &list); err != nil {
			return false, err
		}
		for _, l := range list {
			for _, r := range l.Receivers {
				receivers = append(receivers, r.Name)
			}
		}
		return len(list) > 0, nil
	})
	if err != nil {
		x.fault("alertmanager", base, "alert_lost", err.Error())
		return
	}
	x.ok("alertmanager", base, "took a canary alert, for "+strings.Join(receivers, ", "))
}

// connected tells whether Prometheus knows an Alertmanager.
func (x *exam) connected(ctx context.Context) {
	var r struct {
		Data struct{ ActiveAlertmanagers []struct{ URL string } }
	}
	if getJSON(ctx, x.client, strings.TrimSuffix(x.o.Prometheus, "/")+"/api/v1/alertmanagers", nil, &r) != nil {
		return // said already
	}
	if len(r.Data.ActiveAlertmanagers) == 0 {
		x.fault("alertmanager", x.o.Prometheus, "prometheus_no_alertmanager", "")
		return
	}
	x.ok("alertmanager", x.o.Prometheus, "sends to "+r.Data.ActiveAlertmanagers[0].URL)
}

// logs tries where log lines go.
func (x *exam) logs(ctx context.Context) {
	for _, o := range x.o.Config.Logs.Outputs {
		switch o.Type {
		case "syslog":
			x.dial(ctx, "logs", "syslog "+o.Address, o.Network, o.Address)
		case "file":
			f, err := os.OpenFile(o.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
			if err != nil {
				x.fault("logs", o.Path, "log_unreachable", err.Error())
				continue
			}
			_ = f.Close()
			x.ok("logs", o.Path, "can be written to")
		default:
			x.ok("logs", o.Type, "")
		}
	}
}

// dial connects to a syslog server. Over UDP nobody answers: that its name
// resolves is all there is to know.
func (x *exam) dial(ctx context.Context, check, subject, network, address string) {
	if network == "tls" {
		network = "tcp"
	}
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		x.fault(check, subject, map[bool]string{true: "log_unreachable", false: "upstream_refused"}[check == "logs"], bare(err))
		return
	}
	_ = c.Close()
	x.ok(check, subject, fmt.Sprintf("reached over %s", network))
}
