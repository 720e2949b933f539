package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// phoneEvent is what is looked at in the events of webdemo/e2e/phone-app.js.
type phoneEvent struct {
	Release, Dist, Environment, Level, Platform string
	User                                        struct{ ID string }
	Tags                                        map[string]string
	Breadcrumbs                                 []struct{ Category, Message string }
	Contexts                                    map[string]map[string]any
	Exception                                   []struct {
		Type, Value string
		Mechanism   struct {
			Type    string
			Handled *bool
		}
		Stacktrace struct {
			Frames []struct{ Function, Filename string }
		}
	}
}

// checkPhone holds the events at the upstream to what the app did: each error
// once, with everything that Crashlytics' calls said before.
func checkPhone(t *testing.T, up *relaytest.Upstream, want map[string]string, file string) {
	t.Helper()
	found := map[string]int{}
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			var ev phoneEvent
			if err := json.Unmarshal(it.Payload, &ev); err != nil || len(ev.Exception) != 1 {
				t.Fatalf("%v in %s", err, it.Payload)
			}
			ex := ev.Exception[0]
			what := ex.Type + ": " + ex.Value
			found[what]++
			if got := fmt.Sprintf("%s %s %v", ev.Level, ex.Mechanism.Type, *ex.Mechanism.Handled); got != want[what] {
				t.Errorf("%s is %q, want %q", what, got, want[what])
			}
			if ev.Release != "com.example.shop@1.4.2+45" || ev.Dist != "45" || ev.Environment != "production" || ev.Platform != "javascript" ||
				ev.User.ID != "u-17" || ev.Tags["plan"] != "gold" || ev.Tags["route"] != "Cart" || ev.Contexts["device"]["model"] != "Pixel 9" || ev.Contexts["os"]["name"] != "Android" {
				t.Errorf("%s lacks something: %s", what, it.Payload)
			}
			if n := len(ev.Breadcrumbs); n != 2 || ev.Breadcrumbs[1].Message != "opened the cart" {
				t.Errorf("%s has breadcrumbs %v", what, ev.Breadcrumbs)
			}
			if frames := ex.Stacktrace.Frames; len(frames) == 0 || !strings.HasSuffix(frames[len(frames)-1].Filename, file) {
				t.Errorf("%s has frames %+v, want the last in %s", what, frames, file)
			} else if ex.Type == "TypeError" && frames[len(frames)-1].Function != "payOrder" {
				t.Errorf("%s crashed in %q", what, frames[len(frames)-1].Function)
			}
		}
	}
	for what := range want {
		if found[what] != 1 {
			t.Errorf("%s arrived %d times", what, found[what])
		}
	}
}

// An app that leaves Crashlytics by its import, on React Native's own modules
// in Node: without a network it fails, is killed in its crash, comes back, is
// killed again at the moment when the gateway has answered and the client does
// not know it, and comes back once more. Each report arrives once.
func TestNativeClientSurvivesKills(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "", "limits: {per_ip: {rate: 100000/s, burst: 1000000}}\nvitals: {settle: 1s}\n")).start()
	dir := t.TempDir()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp) // what a killed phone leaves behind
	phone := func(more string) ([]byte, error) {
		return runScript(t, "phone.mjs", "node", fmt.Sprintf(`{"dsn": "http://%s@%s/1", "dir": %q, "bundle": %q, %s}`, testKey, g.public, dir, filepath.Join(tmp, "app.cjs"), more))
	}
	if out, err := phone(`"errors": 3, "crash": true, "online": false`); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the app did not die of its crash: %v %s", err, out)
	}
	if n := up.Totals().Items["event"]; n != 0 {
		t.Fatalf("%d events without a network", n)
	}
	stored := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "breakwater.report.*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if n := stored(); n != 5 {
		t.Fatalf("%d reports stored, want 5", n)
	}
	if out, err := phone(`"errors": 0, "online": true, "killAfterAnswer": true`); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the app was not killed: %v %s", err, out)
	}
	if n := stored(); n != 5 {
		t.Fatalf("%d reports stored after the lost answer, want 5", n)
	}
	out, err := phone(`"errors": 0, "online": true`)
	if err != nil {
		t.Fatal(err)
	}
	if n := stored(); n != 0 || strings.TrimSpace(string(out)) != `{"crashed":false}` { // the run before has seen the crash
		t.Errorf("%d reports left, the app says %s", n, out)
	}
	eventually(t, time.Minute, g.emptySpool)
	checkPhone(t, up, map[string]string{
		"TypeError: cart 1 is undefined": "error generic true",
		"TypeError: cart 2 is undefined": "error generic true",
		"TypeError: cart 3 is undefined": "error generic true",
		"RangeError: stock is negative":  "error onunhandledrejection false",
		"Error: the app is gone":         "fatal onerror false",
	}, "app.cjs")
	eventually(t, time.Minute, func() error {
		if line := `mobile_app_start_seconds_count{environment="production",os="android",project="shop",type="cold"} 1`; !strings.Contains(g.scrape(), line) {
			return fmt.Errorf("no %s", line)
		}
		return nil
	})
}

// The same app as bytecode in a real Hermes: its stacks, its promises, its
// tracker of rejections.
func TestNativeClientInHermes(t *testing.T) {
	if os.Getenv("HERMES") == "" {
		t.Skip("HERMES is not set: `make hermes` gets the virtual machine (57 MB) and runs this test")
	}
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "")).start()
	out, err := runScript(t, "phone.mjs", "hermes", fmt.Sprintf(`{"dsn": "http://%s@%s/1", "errors": 2, "crash": true}`, testKey, g.public))
	if err != nil || strings.TrimSpace(string(out)) != `{"crashed":"now"}` {
		t.Fatalf("%v %s", err, out)
	}
	eventually(t, time.Minute, g.emptySpool)
	checkPhone(t, up, map[string]string{
		"TypeError: cart 1 is undefined": "error generic true",
		"TypeError: cart 2 is undefined": "error generic true",
		"RangeError: stock is negative":  "error onunhandledrejection false",
		"Error: the app is gone":         "fatal onerror false",
	}, "app:///index.android.bundle")
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			if !strings.Contains(string(it.Payload), `"js_engine":"hermes"`) {
				t.Errorf("the engine is not known in %s", it.Payload)
			}
		}
	}
}

// The demonstration app in React Native's test renderer, with the stock SDK
// for React Native, sends from JavaScript to a gateway: every button of it
// that needs no phone.
func TestNativeDemo(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    storm: {first: 10, then_one_in: 20}\n", "limits: {per_ip: {rate: 100000/s, burst: 1000000}}\nvitals: {settle: 1s}\n")).start()
	cmd := exec.CommandContext(t.Context(), "npx", "jest", "--silent")
	cmd.Dir = filepath.Join("..", "..", "webdemo", "native")
	cmd.Env = append(os.Environ(), "GATEWAY_DSN=http://"+testKey+"@"+g.public+"/1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("running the app (is webdemo installed? `make deps` does it): %v\n%s", err, out)
	}
	eventually(t, time.Minute, g.emptySpool)
	items := up.Totals().Items
	// Of the storm's 120 the first ten and some more; of the rest each one.
	if n := items["event"]; n < 10+9 || n > 60 || items["transaction"] == 0 || items["feedback"] != 1 || items["attachment"] != 1 {
		t.Errorf("the upstream has %v", items)
	}
	found := map[string]int{}
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			text := string(it.Payload)
			for _, want := range []string{
				"cannot read the price of", "the stock of", "the price of", "first error in the tunnel", "second error in the tunnel",
				"order.price", "the payment failed", `"plan":"gold"`, "wrong shelf",
			} {
				if strings.Contains(text, want) {
					found[want]++
				}
			}
			for _, secret := range []string{"4111 1111 1111 1111", "DE89 3704", "correct horse", "sk_demo_51H8x2yZ", "203.0.113.77"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s left the gateway in %s", secret, text)
				}
			}
		}
	}
	if len(found) != 9 {
		t.Errorf("found only %v", found)
	}
	eventually(t, time.Minute, func() error {
		text := g.scrape()
		for _, line := range []string{
			`mobile_ttid_seconds_count{environment="demo",os="ios",project="shop",route="Orders"} 1`,
			`release_errors_total{environment="demo",handled="true",level="fatal",project="shop",release="shop@1.4.2"} 1`,
		} {
			if !strings.Contains(text, line) {
				return fmt.Errorf("no %s", line)
			}
		}
		return nil
	})
}
