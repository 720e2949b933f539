package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/alecthomas/kong"
)

type cli struct {
	Bench      benchCmd      `cmd:"" help:"Measure a gateway beside an empty net/http handler, in one run."`
	Torture    tortureCmd    `cmd:"" help:"kill -9 under load; every acknowledged event must arrive."`
	Compare    compareCmd    `cmd:"" help:"Drive the same load at any other server, beside ours and an empty handler, in one run."`
	Full       fullCmd       `cmd:"" help:"Run the spool or a small disk full: 503 while full, 200 again without a restart, nothing lost."`
	Fanout     fanoutCmd     `cmd:"" help:"Measure one upstream's delivery latency with its sibling up and down."`
	Chaos      chaosCmd      `cmd:"" help:"Break several gateways, NATS, Redis and the links between them; nothing acknowledged may be lost."`
	Cost       costCmd       `cmd:"" help:"What one request costs each part of several gateways: CPU, disk, network, Redis."`
	Engines    enginesCmd    `cmd:"" help:"Compare the spool on disk, the spool on JetStream and plain publishing, in one run."`
	Flood      floodCmd      `cmd:"" help:"Measure what one project's flood costs its neighbour: the ratio of the p99."`
	Backlog    backlogCmd    `cmd:"" help:"Pile up records behind a dead upstream, kill, reopen, drain."`
	Attachment attachmentCmd `cmd:"" help:"Send one large attachment and say what it cost in memory."`
	Size       sizeCmd       `cmd:"" help:"What a number of page views a day needs: cores, disk, servers, network."`
	Load       loadCmd       `cmd:"" help:"Load one gateway and print what it answered."`
	Sink       sinkCmd       `cmd:"" help:"Serve a recording upstream."`
	Ref        refCmd        `cmd:"" help:"Serve the empty net/http handler the bench compares with."`
}

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("loadgen"), kong.Description("Load, faults and figures for Breakwater. Sends to loopback only."), kong.UsageOnError(), kong.Vars{"kinds": kinds})
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

type refCmd struct {
	Listen string `help:"Address to listen on." default:"127.0.0.1:9091"`
}

// answerPath is where the reference answers as a gateway answers a beacon.
const answerPath = "/answer"

// Run serves the reference: it reads the body and answers 200 {}, at answerPath
// 204 with what a browser of another origin must be told.
func (r *refCmd) Run() error {
	l, err := net.Listen("tcp", r.Listen)
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h := w.Header()
		if r.URL.Path == answerPath {
			h["Access-Control-Allow-Origin"], h["Cross-Origin-Resource-Policy"] = r.Header["Origin"], []string{"cross-origin"}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{}`))
	})}
	return srv.Serve(l)
}
