package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// The load has the headers of a captured sendBeacon, one by one; what belongs to
// the capture's machine differs.
func TestHeadersOfABrowser(t *testing.T) {
	raw, err := os.ReadFile("../../schemas/testdata/fixtures/web-vitals/beacon-text/001/request.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured struct{ Headers [][2]string }
	if err := json.Unmarshal(raw, &captured); err != nil {
		t.Fatal(err)
	}
	r, err := requestOf("beacon", "1", loadKey, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	sent := r.template("127.0.0.1:1").raw
	head, _, _ := bytes.Cut(sent, []byte("\r\n\r\n"))
	var got [][2]string
	for _, line := range strings.Split(string(head), "\r\n")[1:] {
		name, value, _ := strings.Cut(line, ": ")
		got = append(got, [2]string{name, value})
	}
	machine := []string{"Host", "Content-Length", "Origin", "Referer", "Sec-Fetch-Site"}
	if len(got) != len(captured.Headers) {
		t.Fatalf("%d headers, the browser sent %d", len(got), len(captured.Headers))
	}
	for i, want := range captured.Headers {
		if got[i][0] != want[0] || got[i][1] != want[1] && !slices.Contains(machine, want[0]) {
			t.Errorf("header %d is %q, the browser sent %q", i, got[i], want)
		}
	}
	for _, few := range []bool{false, true} {
		r.few = few
		parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.template("127.0.0.1:1").raw)))
		if err != nil || parsed.ContentLength != int64(len(r.body)) || parsed.URL.Path != "/api/1/vitals/" || few != (parsed.Header.Get("Origin") == "") {
			t.Errorf("few headers %v: %v, %+v", few, err, parsed)
		}
	}
}
