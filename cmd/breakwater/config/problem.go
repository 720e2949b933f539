package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Problem is one mistake in a configuration: where, what, why and what to do.
// It never holds the value of a secret.
type Problem struct {
	// File is the file's name as it was given, or "environment".
	File string `json:"file"`
	// Line and Column count from 1; 0 when the mistake has no place.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Key is the path to the value (projects[0].upstreams[1].dsn) or the name
	// of the environment variable.
	Key string `json:"key,omitempty"`
	// Reason says what is wrong, as a sentence about the value.
	Reason string `json:"reason"`
	// Fix says what to do.
	Fix string `json:"fix,omitempty"`
}

// Place is "file:line:column", as editors and terminals understand it.
func (p Problem) Place() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// String is the readable block of one problem.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Place())
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString("\n    " + p.Reason)
	if p.Fix != "" {
		b.WriteString("\n    fix: " + p.Fix)
	}
	return b.String()
}

// Problems are all mistakes of a configuration, in the order of the file. As
// JSON it is the list.
type Problems []Problem

// Error prints one block for each problem.
func (ps Problems) Error() string {
	blocks := make([]string, len(ps))
	for i, p := range ps {
		blocks[i] = p.String()
	}
	head := "1 problem in the configuration"
	if len(ps) != 1 {
		head = fmt.Sprintf("%d problems in the configuration", len(ps))
	}
	return head + "\n\n" + strings.Join(blocks, "\n\n")
}

// AsProblems takes the problems out of an error, nil when it holds none.
func AsProblems(err error) Problems {
	var ps Problems
	if errors.As(err, &ps) {
		return ps
	}
	return nil
}

// maxProblems bounds the list: who has more has the wrong file.
const maxProblems = 100

// ordered sorts by place and cuts at maxProblems.
func (ps Problems) ordered() Problems {
	sort.SliceStable(ps, func(i, j int) bool {
		if ps[i].Line != ps[j].Line {
			return ps[i].Line < ps[j].Line
		}
		return ps[i].Column < ps[j].Column
	})
	if len(ps) > maxProblems {
		rest := len(ps) - maxProblems
		ps = append(ps[:maxProblems:maxProblems], Problem{File: ps[0].File, Reason: fmt.Sprintf("%d more problems are not shown", rest)})
	}
	return ps
}
