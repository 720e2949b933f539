package logs

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
	"breakwater/relay/syslog"
)

// Logs is the outputs of one process.
type Logs struct {
	outputs []*output
	log     zerolog.Logger
	stderr  io.Writer
	lines   *prometheus.CounterVec
	dropped *prometheus.CounterVec
	up      *prometheus.GaugeVec
}

// Options of New.
type Options struct {
	Config config.Logs
	// Stdout and Stderr are the process's.
	Stdout, Stderr *os.File
	// Reports is one more writer of every line, unless nil. It must not block.
	Reports io.Writer
	// Hostname is the name in syslog's messages. The system's.
	Hostname string
}

// lineFormat sets what zerolog has for the whole process: times in UTC with
// milliseconds, so that lines of several gateways sort, and durations in seconds.
var lineFormat = sync.OnceFunc(func() {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
	zerolog.DurationFieldUnit = time.Second
})

// New makes the outputs; it connects to nobody yet. The error names the key of
// the configuration.
func New(o Options) (*Logs, error) {
	lineFormat()
	level, err := zerolog.ParseLevel(o.Config.Level)
	if err != nil {
		return nil, fmt.Errorf("logs.level: %w", err)
	}
	if o.Hostname == "" {
		o.Hostname, _ = os.Hostname() // "-" without one
	}
	l := &Logs{stderr: o.Stderr}
	l.newMetrics()
	var writers []io.Writer
	names := map[string]bool{}
	for i, c := range o.Config.Outputs {
		sink, name, err := o.sink(c)
		if err != nil {
			l.Close(0)
			return nil, fmt.Errorf("logs.outputs[%d]: %w", i, err)
		}
		if names[name] { // the same place twice is two outputs
			name = fmt.Sprintf("%s (%d)", name, i)
		}
		names[name] = true
		out := newOutput(name, sink, l)
		l.outputs = append(l.outputs, out)
		writers = append(writers, out)
	}
	for _, out := range l.outputs {
		out.start()
	}
	if o.Reports != nil {
		writers = append(writers, o.Reports)
	}
	l.log = zerolog.New(zerolog.MultiLevelWriter(writers...)).Level(level).With().Timestamp().Logger()
	return l, nil
}

// sink is what an output writes to, and its name.
func (o Options) sink(c config.Output) (sink, string, error) {
	switch c.Type {
	case "stdout":
		return stream{formatted(o.Stdout, c.Format)}, c.Type, nil
	case "stderr":
		return stream{formatted(o.Stderr, c.Format)}, c.Type, nil
	case "file":
		return newFile(c), "file:" + c.Path, nil
	case "syslog":
		server := syslog.Server{Network: c.Network, Address: c.Address}
		if c.CAFile != "" {
			pool, err := config.CertPool(c.CAFile)
			if err != nil {
				return nil, "", fmt.Errorf("ca_file: %w", err)
			}
			server.RootCAs = pool
		}
		facility, err := syslog.Facility(c.Facility)
		if err == nil {
			err = server.Check()
		}
		return &remote{server: server, facility: facility, hostname: o.Hostname, proc: fmt.Sprint(os.Getpid())}, server.String(), err
	}
	return nil, "", fmt.Errorf("type %s is unknown", c.Type)
}

// formatted is the console format on a terminal, JSON elsewhere, unless the
// configuration says which.
func formatted(f *os.File, format string) io.Writer {
	if format == "console" || format == "auto" && isatty.IsTerminal(f.Fd()) {
		return zerolog.ConsoleWriter{Out: f, TimeFormat: time.TimeOnly}
	}
	return f
}

// Logger writes to all outputs. It never blocks.
func (l *Logs) Logger() zerolog.Logger { return l.log }

// Reopen closes the files of outputs, which are opened again for the next line.
func (l *Logs) Reopen() {
	for _, o := range l.outputs {
		o.reopen()
	}
}

// Close writes what is queued, for at most the given time, and closes the
// outputs. Lines that come later are dropped.
func (l *Logs) Close(within time.Duration) {
	deadline := time.Now().Add(within)
	for _, o := range l.outputs {
		o.close(deadline)
	}
}

// Status is one output at one moment.
type Status struct {
	Output  string `json:"output"`
	Up      bool   `json:"up"`
	Queued  int    `json:"queued_lines"`
	Written int64  `json:"written_lines"`
	Dropped int64  `json:"dropped_lines"`
	Error   string `json:"error,omitempty"` // why it is not up
}

// Status tells of every output.
func (l *Logs) Status() []Status {
	list := make([]Status, 0, len(l.outputs))
	for _, o := range l.outputs {
		list = append(list, o.status())
	}
	return list
}

func (l *Logs) newMetrics() {
	l.lines = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "breakwater_log_lines_total", Help: "Log lines written, by output.",
	}, []string{"output"})
	l.dropped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "breakwater_log_lines_dropped_total",
		Help: "Log lines that an output lost because its queue was full: it is away, or slower than the log.",
	}, []string{"output"})
	l.up = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "breakwater_log_output_up", Help: "1 while an output of the log takes lines, 0 from a failed write to the next good one.",
	}, []string{"output"})
}

// Register makes the metrics visible.
func (l *Logs) Register(reg prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{l.lines, l.dropped, l.up} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("registering metrics of the log: %w", err)
		}
	}
	return nil
}

// announce tells the other outputs, or standard error when there is none that
// works, of what befell one.
func (l *Logs) announce(of *output, level zerolog.Level, message string, err error, lost int64) {
	var b strings.Builder
	log := zerolog.New(&b).With().Timestamp().Logger()
	line := log.WithLevel(level).Str("part", "logs").Str("output", of.name)
	if err != nil {
		line = line.Str("error", err.Error())
	}
	if lost > 0 {
		line = line.Int64("lost", lost)
	}
	line.Msg(message)
	told := false
	for _, o := range l.outputs {
		if o != of && o.healthy() {
			_, _ = o.WriteLevel(level, []byte(b.String()))
			told = true
		}
	}
	if !told && l.stderr != nil && of.name != "stderr" {
		_, _ = io.WriteString(l.stderr, b.String())
	}
}
