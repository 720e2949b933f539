package limit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/rs/zerolog"

	"breakwater/schemas"
)

// DefaultSaveEvery is how often the quota file is written while counts change.
// After a crash at most the items accepted since the last write, that is within
// this time, are forgotten and can be sent again; an orderly stop forgets none.
const DefaultSaveEvery = 5 * time.Second

const fileVersion = 1

// quotaFile is the quota file: JSON, so that a person can read and correct it
// while the gateway is stopped.
type quotaFile struct {
	Version  int          `json:"version"`
	Counters []quotaCount `json:"counters"`
}

type quotaCount struct {
	Project    string           `json:"project"`
	Category   schemas.Category `json:"category"`
	DayStart   time.Time        `json:"day_start"`
	Day        int64            `json:"day"`
	MonthStart time.Time        `json:"month_start"`
	Month      int64            `json:"month"`
	// DayAlone and MonthAlone are what other gateways may not know of yet.
	DayAlone   int64 `json:"day_alone,omitempty"`
	MonthAlone int64 `json:"month_alone,omitempty"`
}

func loadQuotas(path string, shared bool, log zerolog.Logger) *quotas {
	q := &quotas{path: path, shared: shared, log: log, counters: map[counterID]*counter{}}
	if path == "" {
		return q
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return q
	}
	if err == nil {
		err = q.parse(raw)
	}
	if err != nil {
		q.counters = map[counterID]*counter{}
		aside := path + ".bad"
		moved := os.Rename(path, aside)
		log.Error().Err(err).AnErr("set_aside", moved).Str("file", path).Msg("quota file unreadable, quotas start at 0")
	}
	return q
}

func (q *quotas) parse(raw []byte) error {
	var f quotaFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return fmt.Errorf("reading quota file: %w", err)
	}
	if f.Version != fileVersion {
		return fmt.Errorf("reading quota file: version %d, want %d", f.Version, fileVersion)
	}
	for _, c := range f.Counters {
		alone := pair{min(max(c.DayAlone, 0), max(c.Day, 0)), min(max(c.MonthAlone, 0), max(c.Month, 0))}
		q.counters[counterID{c.Project, c.Category}] = &counter{
			dayStart: c.DayStart.UTC(), monthStart: c.MonthStart.UTC(),
			heard: pair{max(c.Day, 0) - alone.day, max(c.Month, 0) - alone.month}, alone: alone,
		}
	}
	return nil
}

func (q *quotas) snapshot() quotaFile {
	f := quotaFile{Version: fileVersion, Counters: []quotaCount{}}
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, c := range q.counters {
		c.mu.Lock()
		if day, month := c.used(Day), c.used(Month); month > 0 || day > 0 {
			count := quotaCount{Project: id.project, Category: id.category, DayStart: c.dayStart, Day: day, MonthStart: c.monthStart, Month: month}
			if q.shared {
				count.DayAlone, count.MonthAlone = day-c.heard.day, month-c.heard.month
			}
			f.Counters = append(f.Counters, count)
		}
		c.mu.Unlock()
	}
	sort.Slice(f.Counters, func(i, j int) bool {
		a, b := f.Counters[i], f.Counters[j]
		if a.Project != b.Project {
			return a.Project < b.Project
		}
		return a.Category < b.Category
	})
	return f
}

// write saves the counts if they changed: a new file beside, synced, then put
// in the old one's place, so that a crash leaves one or the other whole.
func (q *quotas) write() error {
	if q.path == "" {
		return nil
	}
	q.save.Lock()
	defer q.save.Unlock()
	if !q.dirty.Swap(false) {
		return nil
	}
	raw, err := json.MarshalIndent(q.snapshot(), "", "  ")
	if err == nil {
		err = replaceFile(q.path, append(raw, '\n'))
	}
	if err != nil {
		q.dirty.Store(true)
		err = fmt.Errorf("writing quota file: %w", err)
	}
	if failed := err != nil; failed != q.bad {
		q.bad = failed
		if failed {
			q.log.Error().Err(err).Msg("quota file not written, a restart would forget counts")
		} else {
			q.log.Info().Msg("quota file written again")
		}
	}
	return err
}

func replaceFile(path string, raw []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Save writes the quota file now if counts changed since the last time.
func (l *Limiter) Save() error { return l.quotas.write() }

// Run saves the quotas every Options.SaveEvery until ctx ends, and once more
// then. It blocks; a failed write is logged and tried again.
func (l *Limiter) Run(ctx context.Context) error {
	tick := time.NewTicker(l.opts.SaveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.Save()
		case <-tick.C:
			_ = l.Save() // logged, tried again
		}
	}
}

// Close saves the quotas. Call it when no Apply runs any more.
func (l *Limiter) Close() error { return l.Save() }
