package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"breakwater/relay/relaytest"
)

type sinkCmd struct {
	Listen string `help:"Address to listen on." default:"127.0.0.1:9090"`
	Keep   bool   `help:"Remember event ids, to count repeats." default:"true" negatable:""`
	Script string `help:"How to treat the next requests, as in '200x100 429:5x3 slow:2s reset'; afterwards all are taken." default:""`
	Always string `help:"How to treat every request after the script, as in '503' or 'hang'." default:""`
}

// Help explains what can be asked of it.
func (s *sinkCmd) Help() string {
	return `Point a gateway's upstream at it: dsn "http://any32hexdigitsofakey@127.0.0.1:9090/1".
It takes every envelope, remembers its event id, and answers 200, unless a script says otherwise.

  curl 127.0.0.1:9090/                                counts
  curl 127.0.0.1:9090/ids                             every event id and how often it came
  curl -X PUT -d '503x20 slow:1s' 127.0.0.1:9090/script   what the next requests get
  curl -X PUT -d '503' 127.0.0.1:9090/always          what all get from now on; empty: 200

` + relaytest.ScriptHelp
}

// Run serves until it is interrupted, then prints the counts.
func (s *sinkCmd) Run() error {
	k := newSink(s.Keep)
	if err := k.always(s.Always); err != nil {
		return err
	}
	steps, err := relaytest.ParseScript(s.Script)
	if err != nil {
		return err
	}
	k.Plan.Script(steps...)
	if err := k.serve(s.Listen); err != nil {
		return err
	}
	defer k.close()
	fmt.Fprintf(os.Stderr, "recording upstream on %s - GET / shows the counts, PUT /script says what comes next\n", k.port.addr)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	return print(true, k.counts())
}

// always reads one step, or none.
func (s *sink) always(text string) error {
	steps, err := relaytest.ParseScript(text)
	switch {
	case err != nil:
		return err
	case len(steps) > 1:
		return fmt.Errorf("%q is more than one answer", text)
	case len(steps) == 0:
		s.Relent()
		return nil
	}
	s.Always(steps[0])
	return nil
}

// note counts an answer that is not the usual one.
func (s *sink) note(step relaytest.Step) {
	word := string(step.Fault)
	switch {
	case word != "":
	case step.Status != 0 && step.Status != http.StatusOK:
		word = strconv.Itoa(step.Status)
	case step.Delay > 0:
		word = "slow"
	default:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[word]++
}

// sinkCounts is what a sink says of itself.
type sinkCounts struct {
	Requests int64            `json:"requests"` // taken
	Unique   int              `json:"unique"`
	Repeated int              `json:"repeated"` // of the unique ones
	Other    map[string]int64 `json:"other_answers,omitempty"`
}

func (s *sink) counts() sinkCounts {
	unique, repeated := s.ids.Len()
	s.mu.Lock()
	defer s.mu.Unlock()
	return sinkCounts{Requests: s.count.Load(), Unique: unique, Repeated: repeated, Other: maps.Clone(s.answers)}
}

// talk answers people and scripts.
func (s *sink) talk(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case r.Method == http.MethodGet && path == "/ids":
		w.Header().Set("Content-Type", "text/plain")
		b := bufio.NewWriter(w)
		s.ids.Each(func(id relaytest.ID, n int) { fmt.Fprintln(b, id, n) })
		_ = b.Flush()
	case r.Method == http.MethodGet:
		w.Header()["Content-Type"] = jsonType
		_ = json.NewEncoder(w).Encode(s.counts())
	case r.Method == http.MethodPut && (path == "/script" || path == "/always"):
		text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil && path == "/always" {
			err = s.always(string(text))
		} else if err == nil {
			var steps []relaytest.Step
			if steps, err = relaytest.ParseScript(string(text)); err == nil {
				s.Plan.Script(steps...)
			}
		}
		if err != nil {
			http.Error(w, err.Error()+"\n\n"+relaytest.ScriptHelp, http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "GET / and /ids, PUT /script and /always, POST an envelope", http.StatusMethodNotAllowed)
	}
}
