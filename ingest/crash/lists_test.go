package crash

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater/ingest"
	"breakwater/schemas"
)

// conclude is what the door does when every item's fate is known.
func conclude1(t *testing.T, b *ingest.Batch, err error) (string, error) {
	t.Helper()
	err = b.Conclude(b, err)
	if b.Reply == nil {
		return "", err
	}
	return string(b.Reply.Body), err
}

func TestSeveralReports(t *testing.T) {
	const id = "9ec79c33ec9942ab8353589fcb2e04dc"
	b, err := decode(t, `{"reports":[{"message":"a","id":"`+id+`"},{"message":1,"id":"0000000000000000000000000000000A"},{"message":"b"},7]}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Items) != 4 || !b.Items[0].Alive() || !b.Items[1].Alive() || b.Items[2].Outcome != schemas.Invalid || b.Items[2].Reason != "invalid_report" {
		t.Fatalf("%+v", b.Items)
	}
	second := b.Items[1].Event().EventID()
	got, err := conclude1(t, b, nil)
	want := `{"reports":[{"id":"` + id + `","status":"accepted"},{"id":"0000000000000000000000000000000a","status":"invalid","detail":"message: must not be a number like this"},` +
		`{"id":"` + second + `","status":"accepted"},{"status":"invalid","detail":"report: must not be a number like this"}]}`
	if err != nil || got != want {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
	// The second event is its own record's, whatever became of the first.
	b.Drop(b.Items[0], schemas.Filtered, "error-message")
	b.Request.Project = &ingest.Project{ID: 1, Name: "shop"}
	if rec := b.Record(nil); rec.Meta.EventID != second || rec.Envelope.Header.EventID() != second {
		t.Errorf("the record is named %q, its envelope %q", rec.Meta.EventID, rec.Envelope.Header.EventID())
	}
	for body, want := range map[string]string{
		`[{"message":"a","id":"` + id + `"}]`: `{"reports":[{"id":"` + id + `","status":"accepted"}]}`,
		`{"message":"a","id":"` + id + `"}`:   "",
	} {
		b, err := decode(t, body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := conclude1(t, b, nil); err != nil || got != want {
			t.Errorf("%s: %v %s", body, err, got)
		}
	}
	b, err = decode(t, `[{"message":1},{}]`)
	if err != nil || b.EventID != "" || b.Refusal.Status != 400 {
		t.Fatalf("%+v %v", b, err)
	}
	causes := []string{"reports[0].message: must not be a number like this", "reports[1].message: a message or an exception is required"}
	if diff := cmp.Diff(causes, b.Refusal.Causes); diff != "" {
		t.Error(diff)
	}
	if RejectReport.Causes != nil {
		t.Error("the template was changed")
	}
}

// A report with an id is taken once: not when its first request failed, always
// when it was taken, and never while nobody knows.
func TestRepeats(t *testing.T) {
	const x, y = "9ec79c33ec9942ab8353589fcb2e04dc", "9ec79c33-ec99-42ab-8353-589fcb2e04dd"
	now := arrived
	p := &Protocol{Repeats: ingest.NewRepeats(ingest.RepeatsOptions{TTL: RememberFor, Max: 100, Now: func() time.Time { return now }})}
	send := func(project, body string) (*ingest.Batch, error) {
		return p.Decode(t.Context(), &ingest.Request{ReceivedAt: now, Project: &ingest.Project{Name: project}}, strings.NewReader(body))
	}
	one := `{"message":"a","id":"` + x + `"}`
	first, err := send("shop", one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send("shop", one); !errors.Is(err, RejectBusy) {
		t.Errorf("while it is being taken: %v", err)
	}
	if _, err := send("shop", `[{"message":"b","id":"`+y+`"},`+one+`]`); !errors.Is(err, RejectBusy) {
		t.Errorf("a list with one that is being taken: %v", err)
	}
	if _, err := send("other", one); err != nil {
		t.Errorf("another project has nothing to do with it: %v", err)
	}
	first.Drop(first.Items[0], schemas.RateLimited, "disk_full")
	if err := first.Conclude(first, ingest.RejectFull); !errors.Is(err, ingest.RejectFull) {
		t.Error(err)
	}
	second, err := send("shop", one)
	if err != nil || !second.Items[0].Alive() {
		t.Fatalf("what was not taken may come again: %v", err)
	}
	if _, err := conclude1(t, second, nil); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{one, strings.Replace(one, x, strings.ToUpper(x), 1)} {
		b, err := send("shop", body)
		if err != nil || b.EventID != x || len(b.Items) != 1 || b.Items[0].Outcome != schemas.Filtered || b.Items[0].Reason != "duplicate" {
			t.Fatalf("a repeat: %+v %v", b, err)
		}
		if got, err := conclude1(t, b, nil); err != nil || got != "" {
			t.Errorf("%s %v", got, err)
		}
	}
	b, err := send("shop", `[`+one+`,{"message":"b","id":"`+y+`"},{"message":"b","id":"`+y+`"},{}]`)
	if err != nil || b.EventID != strings.ReplaceAll(y, "-", "") {
		t.Fatalf("%+v %v", b, err)
	}
	got, err := conclude1(t, b, nil)
	bare := strings.ReplaceAll(y, "-", "")
	if want := `{"reports":[{"id":"` + x + `","status":"duplicate"},{"id":"` + bare + `","status":"accepted"},{"id":"` + bare + `","status":"duplicate"},` +
		`{"status":"invalid","detail":"message: a message or an exception is required"}]}`; err != nil || got != want {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
	now = now.Add(RememberFor)
	if b, err := send("shop", one); err != nil || !b.Items[0].Alive() {
		t.Errorf("after %v it is new: %v", RememberFor, err)
	}
}

// A list of which a part met a limit is answered report by report, with or
// without ids, and with the time to wait; what was taken is known when it comes
// again, what was not is taken then. A list of which nothing was kept is refused.
func TestPartOfAListIsLimited(t *testing.T) {
	p := &Protocol{Repeats: ingest.NewRepeats(ingest.RepeatsOptions{TTL: RememberFor, Max: 100, Now: func() time.Time { return arrived }})}
	req := &ingest.Request{ReceivedAt: arrived, Project: &ingest.Project{Name: "shop"}}
	const body = `[{"message":"a","id":"00000000000000000000000000000001"},{"message":"b","id":"00000000000000000000000000000002"},{"message":"c"},{}]`
	send := func() *ingest.Batch {
		b, err := p.Decode(t.Context(), req, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	limits := []schemas.RateLimit{{Categories: []schemas.Category{schemas.CategoryError}, Until: arrived.Add(7 * time.Second)}}
	answer := func(b *ingest.Batch, statuses ...any) {
		t.Helper()
		got, err := conclude1(t, b, nil)
		want := fmt.Sprintf(`{"reports":[{"id":"00000000000000000000000000000001","status":%q},{"id":"00000000000000000000000000000002","status":%q},{"id":%q,"status":%q},`+
			`{"status":"invalid","detail":"message: a message or an exception is required"}]}`, statuses...)
		if err != nil || got != want {
			t.Errorf("%v\n%s\n%s", err, got, want)
		}
	}
	b := send()
	b.Drop(b.Items[1], schemas.RateLimited, "category_rate")
	b.Drop(b.Items[2], schemas.RateLimited, "category_rate")
	b.Limits = limits
	answer(b, "accepted", "limited", b.Items[2].Event().EventID(), "limited")
	if b.Reply.RetryAfter != 7*time.Second || b.Reply.Status != 200 {
		t.Errorf("%+v", b.Reply)
	}
	b = send()
	if b.Items[0].Reason != "duplicate" || !b.Items[1].Alive() || !b.Items[2].Alive() {
		t.Fatalf("%+v", b.Items)
	}
	answer(b, "duplicate", "accepted", b.Items[2].Event().EventID(), "accepted")
	if b.Reply.RetryAfter != 0 {
		t.Errorf("nothing is left to come again: %v", b.Reply.RetryAfter)
	}
	// What the door says of a list of which nothing was kept stands.
	b = send()
	b.Drop(b.Items[2], schemas.RateLimited, "category_rate")
	if _, err := conclude1(t, b, ingest.RejectLimited); !errors.Is(err, ingest.RejectLimited) {
		t.Errorf("%v", err)
	}
}
