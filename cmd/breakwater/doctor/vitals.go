package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"breakwater/ingest"
)

// canaryVital is where the gateway keeps a canary's measurements.
const canaryVital = "breakwater_canary_vital_seconds"

// scrape reads the gateway's metrics.
func (x *exam) scrape(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	return x.scrapeOf(ctx, x.o.Private)
}

func (x *exam) scrapeOf(ctx context.Context, private string) (map[string]*dto.MetricFamily, error) {
	a, err := call(ctx, x.client, http.MethodGet, private+"/metrics", http.Header{"Accept": {"text/plain;version=0.0.4"}}, nil)
	if err != nil {
		return nil, fmt.Errorf("%s", bare(err))
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("%s", a.text())
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(a.body))
}

// observed is how many measurements of canaries the gateways have counted.
func (x *exam) observed(ctx context.Context) (n uint64, err error) {
	for _, private := range x.everyone() {
		families, err := x.scrapeOf(ctx, private)
		if err != nil {
			return 0, err
		}
		list := families[canaryVital].GetMetric()
		if len(list) == 0 {
			return 0, fmt.Errorf("no %s", canaryVital)
		}
		n += list[0].GetHistogram().GetSampleCount()
	}
	return n, nil
}

// vitals sends a beacon for each project and looks for it in /metrics.
func (x *exam) vitals(ctx context.Context) {
	before, err := x.observed(ctx)
	if err != nil {
		x.fault("vitals", x.o.Private+"/metrics", "metrics_unreachable", err.Error())
		return
	}
	c := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{TLSClientConfig: publicTLS()}}
	sent := uint64(0)
	for _, p := range x.o.Config.Projects[:min(len(x.o.Config.Projects), maxAsked)] {
		if len(p.Keys) == 0 {
			continue
		}
		u := fmt.Sprintf("%s/api/%d/vitals/?key=%s&%s=%s", x.o.Public, p.ID, p.Keys[0].Public, ingest.CanaryParam, x.canary)
		beacon := `{"name":"LCP","value":1834.2,"id":"canary-` + strconv.FormatInt(time.Now().UnixNano(), 10) + `","navigationType":"navigate"}`
		a, err := call(ctx, c, http.MethodPost, u, http.Header{"Content-Type": {"text/plain"}, "User-Agent": {"breakwater-doctor"}}, []byte(beacon))
		switch {
		case err != nil:
			x.fault("vitals", p.Name, "public_unreachable", bare(err))
		case a.status == http.StatusTooManyRequests:
			x.fault("vitals", p.Name, "request_limited", a.text())
		case a.status != http.StatusNoContent:
			x.fault("vitals", p.Name, "proxy_route", a.text())
		default:
			sent++
		}
	}
	if sent == 0 {
		return
	}
	after, err := x.observed(ctx)
	if err != nil || after < before+sent {
		x.fault("vitals", x.o.Private+"/metrics", "vitals_not_counted", fmt.Sprintf("%d sent, %d counted", sent, after-before))
		return
	}
	x.ok("vitals", x.o.Private+"/metrics", fmt.Sprintf("%d of %d beacons counted", sent, sent))
	x.passed["vitals"] = true
}
