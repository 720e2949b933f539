package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"breakwater/schemas"
)

// The families of the ledger that are compared.
const (
	received  = "breakwater_items_received_total"
	outcomes  = "breakwater_items_outcome_total"
	inSpool   = "breakwater_items_in_spool"
	summaries = "breakwater_storm_summaries_total"
)

// cell is one number of the ledger: a family, a category, an outcome where the
// family has some.
type cell struct {
	family   string
	category schemas.Category
	outcome  schemas.Outcome
}

// counts is the ledger at one moment, of one project or of all.
type counts map[cell]int

func (c counts) total(family string) (n int) {
	for k, v := range c {
		if k.family == family {
			n += v
		}
	}
	return n
}

// maxScrape bounds what is read of a gateway's metrics.
const maxScrape = 256 << 20

// scrape reads the ledger off the private listener.
func scrape(ctx context.Context, o *Options) (counts, error) {
	body, err := get(ctx, o, o.Metrics, "text/plain;version=0.0.4")
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's metrics: %w (give --metrics the address of its private listener)", err)
	}
	defer body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(body, maxScrape))
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's metrics: %w", err)
	}
	if families[received] == nil {
		return nil, fmt.Errorf("%s shows no %s: it is no Breakwater's /metrics", o.Metrics, received)
	}
	c := counts{}
	for _, name := range []string{received, outcomes, inSpool, summaries} {
		if f := families[name]; f != nil {
			for _, m := range f.Metric {
				c.read(name, m, o.Project)
			}
		}
	}
	return c, nil
}

func (c counts) read(family string, m *dto.Metric, project string) {
	k := cell{family: family}
	for _, l := range m.Label {
		switch l.GetName() {
		case "project":
			if project != "" && l.GetValue() != project {
				return
			}
		case "category":
			k.category = schemas.Category(l.GetValue())
		case "outcome":
			k.outcome = schemas.Outcome(l.GetValue())
		}
	}
	c[k] += int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
}

// upstreamCounts is what a recording upstream says of itself.
type upstreamCounts struct {
	Requests int `json:"requests"`
	Unique   int `json:"unique"`
}

func askUpstream(ctx context.Context, o *Options) (u upstreamCounts, err error) {
	body, err := get(ctx, o, o.Upstream, "application/json")
	if err != nil {
		return u, fmt.Errorf("asking the recording upstream: %w", err)
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&u); err != nil {
		return u, fmt.Errorf("%s is no recording upstream: %w", o.Upstream, err)
	}
	return u, nil
}

func get(ctx context.Context, o *Options, url, accept string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	resp, err := o.Client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return resp.Body, nil
}
