package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// Report is what Verify found.
type Report struct {
	Segments int   `json:"segments"`
	Records  int   `json:"records"`         // intact, whether still needed or not
	Blobs    int   `json:"blobs"`           // payload files, intact
	Bytes    int64 `json:"bytes"`           // read
	Damaged  int   `json:"damaged_records"` // stretches that are no record, records without their payload file
	Torn     int   `json:"torn_segments"`   // with a write that was cut off at the end
	// Problems says what and where, at most maxProblems of them.
	Problems []string `json:"problems,omitempty"`
}

const maxProblems = 100

func (r *Report) problem(format string, args ...any) {
	r.Damaged++
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// Verify reads every record in a directory that no process has open, payload
// files included, and changes nothing but the lock file. A record all
// destinations are done with may rightly lack its payload file; it is only
// reported when the record is still needed.
func Verify(dir string) (Report, error) { return verify(osFS{}, dir) }

func verify(fs fileSystem, dir string) (rep Report, err error) {
	if _, err := fs.ReadDir(dir); err != nil {
		return rep, fmt.Errorf("verifying spool: %w", err)
	}
	lock, err := fs.Lock(dir + "/lock")
	if err != nil {
		return rep, fmt.Errorf("verifying spool: %w", err)
	}
	defer lock.Close()
	files, err := fs.ReadDir(dir)
	if err != nil {
		return rep, fmt.Errorf("verifying spool: %w", err)
	}
	for _, fi := range files {
		_, salt, ext, ok := parseSegmentName(fi.name)
		if !ok || (ext != extActive && ext != extSealed && ext != extMerged) {
			continue
		}
		if err := verifySegment(fs, dir, fi, salt, ext, &rep); err != nil {
			return rep, fmt.Errorf("verifying %s: %w", fi.name, err)
		}
	}
	return rep, nil
}

func verifySegment(fs fileSystem, dir string, fi fileInfo, salt uint32, ext string, rep *Report) error {
	base := dir + "/" + fi.name[:len(fi.name)-len(ext)]
	f, err := fs.Open(dir + "/" + fi.name)
	if err != nil {
		return err
	}
	defer f.Close()
	size := fi.size
	if raw, err := readAll(fs, base+extIndex); err == nil {
		if n, _, err := readIndex(raw, salt, size); err == nil {
			size = n // what is behind was never acknowledged
		}
	}
	done := map[uint32]map[uint32]bool{}
	if raw, err := readAll(fs, base+extAcks); err == nil {
		readAcks(raw, func(a ack) {
			if a.op == opDone {
				if done[a.off] == nil {
					done[a.off] = map[uint32]bool{}
				}
				done[a.off][a.dest] = true
			}
		})
	}
	sc := scanner{f: f, size: size, salt: salt}
	sc.damage = func(off, end int64, why string) {
		rep.problem("%s: bytes %d to %d: %s", fi.name, off, end, why)
	}
	sc.record = func(fd found) error {
		rep.Records++
		h, err := parseHead(fd.headBytes)
		if err != nil {
			return nil // the scanner has looked
		}
		for _, b := range h.blobs {
			err := verifyBlob(fs, dir, b)
			if err == nil {
				rep.Blobs++
				continue
			}
			_, _, dests, _ := parseRouteKey(h.route)
			if errors.Is(err, os.ErrNotExist) && len(done[fd.off]) == len(dests) {
				continue
			}
			rep.problem("%s: record %s: payload file %s: %v", fi.name, fd.id, b.file(), err)
		}
		return nil
	}
	good, err := sc.run()
	if err != nil {
		return err
	}
	rep.Segments++
	rep.Bytes += size
	if good < size {
		rep.Torn++
	}
	return nil
}

func verifyBlob(fs fileSystem, dir string, b blobRef) error {
	f, err := fs.Open(dir + "/" + dirBlobs + "/" + b.file())
	if err != nil {
		return err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.NewSectionReader(f, 0, b.size))
	switch {
	case err != nil:
		return err
	case n != b.size:
		return fmt.Errorf("%d bytes, want %d", n, b.size)
	case sum.Sum32() != b.sum:
		return errors.New("checksum")
	}
	return nil
}
