package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
)

// newLogger writes to every output of the configuration: JSON lines when an
// output is piped, the console format on a terminal, unless it says which.
// Times are UTC with milliseconds, so that lines of several gateways sort.
// reports, unless nil, is one more output, for JSON.
func newLogger(stdout *os.File, c config.Logs, reports io.Writer) (zerolog.Logger, error) {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
	zerolog.DurationFieldUnit = time.Second
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("logs.level: %w", err)
	}
	var outs []io.Writer
	for _, o := range c.Outputs {
		switch o.Type {
		case "stdout":
			outs = append(outs, formatted(stdout, o.Format))
		case "stderr":
			outs = append(outs, formatted(os.Stderr, o.Format))
		default:
			return zerolog.Nop(), fmt.Errorf("logs.outputs: type %s is not available in this build; use stdout or stderr", o.Type)
		}
	}
	if reports != nil {
		outs = append(outs, reports)
	}
	return zerolog.New(zerolog.MultiLevelWriter(outs...)).Level(level).With().Timestamp().Logger(), nil
}

func formatted(f *os.File, format string) io.Writer {
	if format == "console" || format == "auto" && isTerminal(f) {
		return zerolog.ConsoleWriter{Out: f, TimeFormat: time.TimeOnly}
	}
	return f
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
