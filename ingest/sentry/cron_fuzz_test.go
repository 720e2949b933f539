package sentry

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

// A check-in, whatever its path, query and body: what is taken says a monitor,
// an id and a status, and is one item of JSON.
func FuzzCheckIn(f *testing.F) {
	f.Add("backup", "status=ok&duration=1.5", "", false, "")
	f.Add("backup", "status=in_progress&check_in_id="+id, "", true, "")
	f.Add("backup", "", `{"status":"error","check_in_id":"`+id+`","duration":3,"monitor_config":{"schedule":{"type":"crontab","value":"0 * * * *"}}}`, true, "application/json")
	f.Add("b", "status=ok", "status=error", true, "application/x-www-form-urlencoded")
	f.Add("", "status=ok&duration=NaN&environment=\x00", "{\"status\":7,\"status\":\"ok\"}", true, "")
	f.Fuzz(func(t *testing.T, slug, query, body string, post bool, contentType string) {
		r := request()
		r.Params = []ingest.Param{{Name: "slug", Value: slug}}
		r.Query, _ = url.ParseQuery(query)
		r.Header = http.Header{"Content-Type": {contentType}}
		if r.Method = "GET"; post {
			r.Method = "POST"
		}
		b, err := (&CheckIn{}).Decode(context.Background(), r, bytes.NewReader([]byte(body)))
		checkDecoded(t, b, err)
		if err != nil {
			return
		}
		o, err := schemas.ParseObject([]byte(payload(t, b.Items[0])))
		if err != nil || len(b.Items) != 1 || b.Items[0].Header.Type != "check_in" {
			t.Fatalf("%v: %+v", err, b.Items)
		}
		own, _ := o.String("check_in_id")
		status, _ := o.String("status")
		monitor, _ := o.String("monitor_slug")
		if _, ok := parseID(own); !ok || !statuses[status] || monitor == "" {
			t.Errorf("%s", o.Bytes())
		}
	})
}
