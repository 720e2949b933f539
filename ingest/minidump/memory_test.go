package minidump

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

// What fields become in memory is charged before it is made: a form whose text
// fits into the budget, and whose values do not, is answered 503, and gives back
// what it had.
func TestValuesAreCharged(t *testing.T) {
	key := strings.Repeat("a", 32)
	projects := &ingest.Projects{}
	projects.Store(ingest.NewDirectory([]*ingest.Project{{ID: 1, Name: "shop", Origins: ingest.Origins{"*"}, Keys: []ingest.Key{{Public: key}}}}))
	config := ingest.DefaultConfig()
	config.MemoryBudget = 2 << 20
	s, err := ingest.New(ingest.Options{
		Settings: ingest.Settings{Config: config, Endpoints: []ingest.Endpoint{{Name: "minidump", Paths: []string{"/api/:project/minidump"}, Protocol: &Protocol{}, Upload: true}}},
		Projects: projects, Auth: anybody{}, Sink: drain{},
	})
	if err != nil {
		t.Fatal(err)
	}
	send := func(name, value string) int {
		form := "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value +
			"\r\n--B\r\nContent-Disposition: form-data; name=\"upload_file_minidump\"; filename=\"d\"\r\n\r\nMDMP\r\n--B--\r\n"
		r := httptest.NewRequest("POST", "/api/1/minidump/?sentry_key="+key, strings.NewReader(form))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=B")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	json := func(values int) string { return `{"extra":{"a":[` + strings.Repeat("1,", values) + `1]}}` }
	messages := func(values int) string {
		return "\x81\xa1a\xdd" + string([]byte{byte(values >> 24), byte(values >> 16), byte(values >> 8), byte(values)}) + string(bytes.Repeat([]byte{1}, values))
	}
	for range 3 { // each takes most of the budget
		for name, make := range map[string]func(int) string{"sentry": json, "__sentry-event": messages} {
			if code := send(name, make(5_000)); code != 200 {
				t.Errorf("%s of few values: %d", name, code)
			}
			if code := send(name, make(50_000)); code != 503 {
				t.Errorf("%s of many values: %d", name, code)
			}
		}
	}
}

// drain takes every record.
type drain struct{}

func (drain) Append(context.Context, *schemas.Record) error { return nil }

// anybody is whoever has the first key of the first project.
type anybody struct{}

func (anybody) Authenticate(dir *ingest.Directory, _ ingest.Head) (*ingest.Project, *ingest.Key, error) {
	p := dir.List()[0]
	return p, &p.Keys[0], nil
}

func (anybody) ByDSN(_ *ingest.Directory, _ ingest.Head, p *ingest.Project, k *ingest.Key, _ string) (*ingest.Project, *ingest.Key, error) {
	return p, k, nil
}
