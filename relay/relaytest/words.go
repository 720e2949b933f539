package relaytest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ScriptHelp explains the language of ParseScript to whoever types it.
const ScriptHelp = `A script is a list of answers, separated by spaces or commas; each is for one request,
or for as many as stand behind an x:

  200            take it
  429            take it not; 429:60 adds Retry-After: 60, and 429:60:error;session:key says it
                 as X-Sentry-Rate-Limits does: seconds, categories, scope
  503            any status from 300 to 599; 503:10 adds Retry-After: 10
  slow:2s        take it, but answer after two seconds
  reset          cut the connection before the request is read
  lost           take it, then cut the connection: the answer is lost
  hang           read it and never answer
  garbage        answer with what is not HTTP
  refuse:5s      cut the connection and refuse new ones for five seconds

Example: "200x100 429:5x3 503x20 slow:1sx5 reset refuse:3s"`

// ParseScript reads a list of steps from words; see ScriptHelp.
func ParseScript(text string) ([]Step, error) {
	var steps []Step
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' || r == '\r' }) {
		what, n := word, 1
		if i := strings.LastIndexByte(word, 'x'); i > 0 {
			count, err := strconv.Atoi(word[i+1:])
			if err == nil {
				what, n = word[:i], count
			}
		}
		if n < 1 || len(steps)+n > maxScript {
			return nil, fmt.Errorf("script: %q: from 1 to %d answers in all", word, maxScript)
		}
		s, err := parseStep(what)
		if err != nil {
			return nil, fmt.Errorf("script: %w", err)
		}
		steps = append(steps, Times(n, s)...)
	}
	return steps, nil
}

// maxScript bounds the steps of a script.
const maxScript = 1_000_000

func parseStep(word string) (Step, error) {
	what, arg, hasArg := strings.Cut(word, ":")
	switch what {
	case "slow", "refuse":
		d, err := time.ParseDuration(arg)
		if err != nil || d <= 0 {
			return Step{}, fmt.Errorf("%q wants a time, as in %s:2s", word, what)
		}
		if what == "refuse" {
			return Step{Fault: Refuse, Delay: d}, nil
		}
		return Step{Delay: d}, nil
	}
	fault, isFault := map[string]Fault{"reset": ResetBefore, "lost": ResetAfter, "hang": Hang, "garbage": Garbage}[what]
	if isFault && !hasArg {
		return Step{Fault: fault}, nil
	}
	code, err := strconv.Atoi(what)
	if isFault || err != nil || (code != http.StatusOK && (code < 300 || code > 599)) {
		return Step{}, fmt.Errorf("%q is no answer: a status (200, 300 to 599), slow, reset, lost, hang, garbage or refuse", word)
	}
	s := Status(code)
	if !hasArg {
		return s, nil
	}
	seconds, _, limits := strings.Cut(arg, ":")
	if n, err := strconv.Atoi(seconds); err != nil || n < 0 {
		return Step{}, fmt.Errorf("%q wants seconds, as in %d:60", word, code)
	}
	s.Header.Set("Retry-After", seconds)
	if limits {
		s.Header.Set("X-Sentry-Rate-Limits", arg)
	}
	return s, nil
}
