package relaytest_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
)

const good = `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}
{"type":"event","length":2}
{}
{"type":"session","length":2}
{}
`

func post(t *testing.T, up *relaytest.Upstream, path, body string, edit func(http.Header)) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, up.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-sentry-envelope")
	req.Header.Set("X-Sentry-Auth", "Sentry sentry_version=7, sentry_client=test/1, sentry_key="+relaytest.TestKey)
	if edit != nil {
		edit(req.Header)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestUpstreamIsStrict(t *testing.T) {
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, _ = zw.Write([]byte(good))
	_ = zw.Close()
	broken := packed.String()[:packed.Len()-6] // the checksum is cut
	set := func(k, v string) func(http.Header) { return func(h http.Header) { h.Set(k, v) } }
	for name, tc := range map[string]struct {
		path, body string
		edit       func(http.Header)
		status     int
	}{
		"as it should be":         {"/api/1/envelope/", good, nil, 200},
		"below a prefix":          {"/a/b/api/1/envelope/", good, nil, 200},
		"compressed":              {"/api/1/envelope/", packed.String(), set("Content-Encoding", "gzip"), 200},
		"broken compression":      {"/api/1/envelope/", broken, set("Content-Encoding", "gzip"), 400},
		"not compressed at all":   {"/api/1/envelope/", good, set("Content-Encoding", "gzip"), 400},
		"unknown compression":     {"/api/1/envelope/", good, set("Content-Encoding", "lzma"), 415},
		"another path":            {"/api/1/store/", good, nil, 404},
		"no credentials":          {"/api/1/envelope/", good, func(h http.Header) { h.Del("X-Sentry-Auth") }, 401},
		"credentials twice":       {"/api/1/envelope/?sentry_key=x", good, nil, 401},
		"a cookie":                {"/api/1/envelope/", good, set("Cookie", "a=b"), 400},
		"an Authorization header": {"/api/1/envelope/", good, set("Authorization", "Bearer x"), 400},
		"another content type":    {"/api/1/envelope/", good, set("Content-Type", "text/plain"), 400},
		"no envelope":             {"/api/1/envelope/", "hello", nil, 400},
		"an item without length":  {"/api/1/envelope/", "{}\n{\"type\":\"event\"}\n{}", nil, 400},
		"an item cut short":       {"/api/1/envelope/", "{}\n{\"type\":\"event\",\"length\":9}\n{}", nil, 400},
		"a dsn that agrees":       {"/api/1/envelope/", `{"dsn":"https://` + relaytest.TestKey + `@elsewhere/1"}`, nil, 200},
		"a dsn of another key":    {"/api/1/envelope/", `{"dsn":"https://other@elsewhere/1"}`, nil, 400},
		"a dsn of another one":    {"/api/1/envelope/", `{"dsn":"https://` + relaytest.TestKey + `@elsewhere/2"}`, nil, 400},
		"a dsn nobody can read":   {"/api/1/envelope/", `{"dsn":"nonsense"}`, nil, 401},
		"too large":               {"/api/1/envelope/", "{}\n{\"type\":\"event\",\"length\":5000}\n" + strings.Repeat("x", 5000), nil, 413},
	} {
		t.Run(name, func(t *testing.T) {
			up := relaytest.StartUpstream(t, relaytest.Options{MaxBody: 4096})
			status, body, err := post(t, up, tc.path, tc.body, tc.edit)
			if err != nil || status != tc.status {
				t.Errorf("status %d, error %v, body %s; want %d", status, err, body, tc.status)
			}
			if bad := tc.status != 200; bad != (len(up.Problems()) == 1) || bad == (up.Totals().Taken == 1) {
				t.Errorf("problems %v, totals %+v", up.Problems(), up.Totals())
			}
		})
	}
}

func TestUpstreamPlaysItsScript(t *testing.T) {
	up := relaytest.StartUpstream(t, relaytest.Options{Decide: func(r *relaytest.Request) relaytest.Step {
		return relaytest.Status(200 + len(r.Items))
	}})
	up.Script(relaytest.Times(2, relaytest.Status(503, "Retry-After", "7"))...)
	up.Script(relaytest.Step{Fault: relaytest.ResetBefore}, relaytest.Step{Fault: relaytest.ResetAfter})
	var got []string
	for range 5 {
		status, _, err := post(t, up, "/api/1/envelope/", good, nil)
		got = append(got, fmt.Sprint(status, err != nil))
	}
	if want := []string{"503 false", "503 false", "0 true", "0 true", "202 false"}; !reflect.DeepEqual(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
	id, _ := relaytest.ParseID("9EC79C33-EC99-42AB-8353-589FCB2E04DC")
	if tot := up.Totals(); tot.Requests != 5 || tot.Taken != 2 || tot.Items["event"] != 2 || up.IDs().Count(id) != 2 {
		t.Errorf("totals %+v, ids %d", tot, up.IDs().Count(id))
	}
	up.Always(relaytest.Status(418))
	if status, _, _ := post(t, up, "/api/1/envelope/", good, nil); status != 418 {
		t.Errorf("always: %d", status)
	}
	up.Reset()
	if status, body, _ := post(t, up, "/api/1/envelope/", good, nil); status != 202 || !strings.Contains(body, "9ec79c33") || len(up.Requests()) != 1 {
		t.Errorf("after a reset: %d %s", status, body)
	}
}

func TestUpstreamCountsManyIDsCheaply(t *testing.T) {
	var ids relaytest.IDs
	const each = 20000
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range each {
				id, _ := relaytest.ParseID(fmt.Sprintf("%016x%016x", w/2, i))
				ids.Add(id)
			}
		})
	}
	wg.Wait()
	if unique, repeated := ids.Len(); unique != 2*each || repeated != 2*each {
		t.Errorf("%d unique, %d repeated", unique, repeated)
	}
	up := relaytest.StartUpstream(t, relaytest.Options{IDsOnly: true, MaxRequests: 1})
	for range 3 {
		if status, _, err := post(t, up, "/api/1/envelope/", good, nil); status != 200 {
			t.Fatal(status, err)
		}
	}
	if tot := up.Totals(); len(up.Requests()) != 0 || tot.Taken != 3 || tot.Items["session"] != 3 {
		t.Errorf("%d requests kept, totals %+v", len(up.Requests()), tot)
	}
}

func TestStoredTimeFollowsSentry(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		header, event string
		want          time.Time
	}{
		"no sent_at":              {`{}`, `{"timestamp":1767348000}`, time.Unix(1767348000, 0)},
		"a small drift":           {`{"sent_at":"2026-01-02T11:05:01Z"}`, `{"timestamp":1767348000.5}`, time.Unix(1767348000, 5e8)},
		"a large drift":           {`{"sent_at":"2026-01-02T10:00:00Z"}`, `{"timestamp":"2026-01-02T09:59:58Z"}`, now.Add(-2 * time.Second)},
		"a clock in the future":   {`{"sent_at":"2026-01-02T14:00:00Z"}`, `{"timestamp":"2026-01-02T13:59:58Z"}`, now.Add(-2 * time.Second)},
		"a time in the future":    {`{}`, `{"timestamp":"2026-01-02T12:01:01Z"}`, now},
		"no time":                 {`{}`, `{}`, now},
		"a time nobody can read":  {`{}`, `{"timestamp":"soon"}`, now},
		"exactly 55 minutes late": {`{"sent_at":"2026-01-02T11:05:00Z"}`, `{"timestamp":"2026-01-02T11:00:00Z"}`, now.Add(-5 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			up := relaytest.StartUpstream(t, relaytest.Options{Now: func() time.Time { return now }})
			body := tc.header + "\n" + fmt.Sprintf(`{"type":"event","length":%d}`, len(tc.event)) + "\n" + tc.event
			if status, text, err := post(t, up, "/api/1/envelope/", body, nil); status != 200 {
				t.Fatal(status, text, err)
			}
			if got, ok := up.Requests()[0].StoredTime(); !ok || !got.Equal(tc.want) {
				t.Errorf("stored %v, want %v", got.UTC(), tc.want.UTC())
			}
		})
	}
}

func TestSourceNoticesWhatIsWrong(t *testing.T) {
	dst := spool.Destination{Project: "shop", Name: "up"}
	src := relaytest.NewSource(nil)
	src.Add(relaytest.SampleRecord())
	c, err := src.Claim(t.Context(), dst)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Settle(nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Bury("again"); err == nil {
		t.Error("a claim ended twice")
	}
	if p := src.Problems(); len(p) != 2 {
		t.Errorf("problems %v", p)
	}
}
