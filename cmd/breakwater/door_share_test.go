package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// heldBy is what projects hold of the spool, by name.
func (g *gateway) heldBy() (map[string]int64, error) {
	resp, err := http.Get("http://" + g.private + "/api/v1/spool")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var st struct {
		Projects []struct {
			Project string
			Bytes   int64
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		return nil, err
	}
	held := map[string]int64{}
	for _, p := range st.Projects {
		held[p.Project] = p.Bytes
	}
	return held, nil
}

// One project's slow uploads, which need no end to take disk, leave its
// neighbours what is theirs, and their room comes back with the connections.
func TestSlowUploadsKeepToTheShare(t *testing.T) {
	const other = "fedcba9876543210fedcba9876543210"
	g := newGateway(t, `server: {listen: "LISTEN", admin_listen: "ADMIN"}
spool: {dir: "DATA/spool", min_free: 0B, max_size: 4MiB, project_share: 0.5}
limits: {event_size: 512KiB, request_size: 1MiB, read_timeout: 5m}
projects:
  - {id: 1, name: shop, keys: [{public: `+testKey+`}]}
  - {id: 2, name: till, keys: [{public: `+other+`}]}
`).start() // no upstream: held
	const size, part, share = 900 << 10, 480 << 10, 2 << 20 // four parts fit
	var slow []net.Conn
	refused := 0
	for i := range 12 {
		path, body := minidumpPath, "MDMP"
		if i%2 == 1 {
			path = "/api/1/envelope/?sentry_key=" + testKey
			body = fmt.Sprintf("{\"event_id\":\"%032x\"}\n{\"type\":\"attachment\",\"length\":%d,\"filename\":\"a.bin\"}\n", i+1, size)
		}
		conn, err := net.Dial("tcp", g.public)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Minute))
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s%s",
			path, g.public, len(body)+size, body, strings.Repeat("x", part))
		if err != nil {
			t.Fatal(err)
		}
		answer := make(chan int, 1)
		go func() { answer <- statusOf(conn) }()
		eventually(t, time.Minute, func() error {
			select {
			case status := <-answer:
				if status != http.StatusServiceUnavailable {
					t.Fatalf("upload %d was answered %d in its middle", i, status)
				}
				refused++
				return nil
			default:
			}
			held, err := g.heldBy()
			if err != nil {
				return err
			}
			if held["shop"] > share {
				t.Fatalf("shop holds %d bytes of %d", held["shop"], share)
			}
			if want := int64(len(slow)+1)*part - int64(len(slow)+1)*(40<<10); held["shop"] < want { // what the gateway has read ahead
				return fmt.Errorf("upload %d: shop holds %d bytes, want %d", i, held["shop"], want)
			}
			slow = append(slow, conn)
			return nil
		})
	}
	if len(slow) != 4 {
		t.Fatalf("%d of 12 slow uploads have room, %d were refused", len(slow), refused)
	}
	if n := g.outcomes(`project="shop"`, `outcome="rate_limited"`, `reason="spool_project_share"`); n != float64(refused) {
		t.Errorf("%v outcomes of a full share, want %d", n, refused)
	}
	for i, body := range []string{errorEnvelope(t, 1, "TypeError", "shop@1"), `{"event_id":"` + anID + "\"}\n{\"type\":\"attachment\",\"length\":1000000,\"filename\":\"b\"}\n" + strings.Repeat("y", 1000000)} {
		if status, text := post(t, "http://"+g.public+"/api/2/envelope/?sentry_key="+other, body); status != http.StatusOK {
			t.Errorf("the neighbour's report %d was answered %d %s", i, status, text)
		}
	}
	for _, conn := range slow {
		_ = conn.Close()
	}
	eventually(t, time.Minute, func() error {
		held, err := g.heldBy()
		if err == nil && held["shop"] != 0 {
			err = fmt.Errorf("shop holds %d bytes when its uploads are gone", held["shop"])
		}
		return err
	})
	if status, text := post(t, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, errorEnvelope(t, 2, "TypeError", "shop@1")); status != http.StatusOK {
		t.Errorf("shop's own report was answered %d %s", status, text)
	}
	g.closed(t)
}
