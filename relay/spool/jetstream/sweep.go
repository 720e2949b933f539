package jetstream

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// clockIsRight says that this gateway may tell how old records are: one whose
// clock is wrong would end for all gateways what is not old.
func (s *Spool) clockIsRight() bool {
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	info, err := s.recordStream.Info(ctx)
	if err != nil {
		return false // asked again in a minute
	}
	off := s.now().Sub(info.TimeStamp)
	if off.Abs() > skew {
		s.log.Error().Stringer("off", off.Round(time.Second)).Msg("this gateway's clock is not that of the stream's servers; it ends no old records")
	}
	return off.Abs() <= skew
}

// sweep removes what nobody needs any more, each as far as it comes.
func (s *Spool) sweep(ctx context.Context) error {
	return errors.Join(s.sweepObjects(ctx), s.sweepMarks(ctx), s.trimDead(ctx))
}

// orphanAge is how long this gateway must have known that nobody needs a
// payload before it removes it: longer than an append takes from its first chunk
// to its message, and than a server stays behind that answers again. It is
// measured here, because clocks of gateways and servers may differ. Sweeps are
// an hour apart.
const orphanAge = 55 * time.Minute

// sweepObjects removes payloads of records that are not there: of appends that
// were broken off half way, and of dead letters that made room; chunks of
// payloads that did not become one; and notes of removals.
func (s *Spool) sweepObjects(ctx context.Context) error {
	now := time.Now()
	bucket := "$O." + s.names.large()
	loose, byRecord, err := s.listObjects(ctx)
	if err != nil {
		return err
	}
	if err := s.needed(ctx, byRecord); err != nil {
		return err
	}
	for _, list := range byRecord { // of the records that are nowhere
		for _, p := range list {
			loose[bucket+".M."+base64.URLEncoding.EncodeToString([]byte(p.name))] = p.name
		}
	}
	stream, err := s.js.Stream(ctx, "OBJ_"+s.names.large())
	if err != nil {
		return err
	}
	since := make(map[string]time.Time, len(loose))
	for subject, name := range loose {
		since[subject] = now
		if first, ok := s.orphans[subject]; ok {
			since[subject] = first
		}
		if now.Sub(since[subject]) < orphanAge {
			continue
		}
		if name != "" {
			err = s.removeObject(ctx, name)
		} else {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			return err
		}
		delete(since, subject)
	}
	s.orphans = since
	return nil
}

// listObjects finds the payloads by their records, and subjects of the object
// store that belong to none.
func (s *Spool) listObjects(ctx context.Context) (loose map[string]string, byRecord map[string][]payload, err error) {
	loose, byRecord = map[string]string{}, map[string][]payload{}
	list, err := s.large.List(ctx, jetstream.ListObjectsShowDeleted())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil, err
	}
	bucket, whole := "$O."+s.names.large(), map[string]bool{}
	for _, o := range list {
		if o.Deleted {
			loose[bucket+".M."+base64.URLEncoding.EncodeToString([]byte(o.Name))] = ""
			continue
		}
		whole[o.NUID] = true
		byRecord[recordOf(o.Name)] = append(byRecord[recordOf(o.Name)], payload{o.Name, o.ModTime})
	}
	stream, err := s.js.Stream(ctx, "OBJ_"+s.names.large())
	if err != nil {
		return nil, nil, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(bucket+".C.>"))
	if err != nil {
		return nil, nil, err
	}
	for subject := range info.State.Subjects {
		if !whole[strings.TrimPrefix(subject, bucket+".C.")] {
			loose[subject] = ""
		}
	}
	return loose, byRecord, nil
}

// trimDead drops the oldest dead letters where they take more than they may
// together with their payloads, which the servers do not count.
func (s *Spool) trimDead(ctx context.Context) error {
	s.mu.Lock()
	limit := s.limits.DeadLetterSize
	s.mu.Unlock()
	var most int64
	for _, name := range []string{s.names.dead(), "OBJ_" + s.names.large()} {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return err
		}
		most += int64(stream.CachedInfo().State.Bytes)
	}
	if most <= limit {
		return nil
	}
	var size int64
	letters := func(fn func(*letter) (bool, error)) error {
		return s.pages(ctx, s.names.dead(), s.names.prefix+".dead.>", "", func(list []got) (bool, error) {
			for _, g := range list {
				l, err := parseLetter(g)
				if err != nil {
					continue
				}
				if more, err := fn(l); err != nil || !more {
					return false, err
				}
			}
			return true, nil
		})
	}
	if err := letters(func(l *letter) (bool, error) { size += l.size; return true, nil }); err != nil {
		return err
	}
	dropped := 0
	err := letters(func(l *letter) (bool, error) {
		if size <= limit {
			return false, nil
		}
		size -= l.size
		dropped++
		_, err := s.dropLetter(ctx, l)
		return true, err
	})
	if dropped > 0 {
		s.log.Warn().Int("dead_letters", dropped).Msg("the oldest dead letters made room: with their payloads they took more than they may")
	}
	return err
}
